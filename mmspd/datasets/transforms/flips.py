"""Random flips and transposition of a pair."""

from typing import Any, Dict, Tuple

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch import Tensor

from mmspd.registry import TRANSFORMS
from mmspd.utils.deferred import DeferredPair

__all__ = ['FlipAndTranspose']

#: Codes of OpenCV for flips (horizontal, vertical).
_FLIP_CODES = {(True, False): 1, (False, True): 0, (True, True): -1}


@TRANSFORMS.register_module()
class FlipAndTranspose(BaseTransform):
    """Flips ``img`` and ``gt`` horizontally and vertically and transposes them, each at random.

    Each of the three operations has the probability 0.5. The random numbers are those of MMagic's
    ``Flip`` (horizontal), ``Flip`` (vertical) and ``RandomTransposeHW``, so the results are equal.
    A blur that :class:`~mmspd.datasets.transforms.synthesis.SynthesizeBlur` leaves to the device of
    the model is flipped there too.

    Args:
        on_device: Whether to flip other pairs on the device of the model too. This takes work from
            the workers, but adds more to the main process, because the batch is not stacked.

    Examples:
        >>> import numpy as np
        >>> from mmspd.datasets import FlipAndTranspose
        >>> pair = dict(img=np.zeros((32, 48, 3), np.uint8), gt=np.zeros((32, 48, 3), np.uint8))
        >>> np.random.seed(0)  # draws 0.55, 0.72 and 0.60
        >>> FlipAndTranspose()(pair)['img'].shape
        (32, 48, 3)
    """

    def __init__(self, on_device: bool = False) -> None:
        self.on_device = on_device

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Flip and transpose the pair, or note this for the device.

        Args:
            results: A sample with ``img`` and ``gt``, or with a deferred pair as ``img``.

        Returns:
            The sample.
        """
        drawn = {name: np.random.random() < 0.5 for name in ('horizontal', 'vertical', 'transpose')}
        if self.on_device and not isinstance(results['img'], DeferredPair):
            results['img'] = _LoadedPair.of(results['img'], results.pop('gt'))
        if isinstance(results['img'], DeferredPair):
            flips = [name for name, happens in drawn.items() if happens]
            results['img'].set_metainfo(dict(flips=flips))
            return results
        for key in ('img', 'gt'):
            image = results[key]
            code = _FLIP_CODES.get((drawn['horizontal'], drawn['vertical']))
            if code is not None:
                image = cv2.flip(image, code)  # a view would make PackInputs slow
            results[key] = image.transpose(1, 0, 2) if drawn['transpose'] else image
        return results


class _LoadedPair(DeferredPair):
    """A pair whose images are only flipped on the device."""

    @classmethod
    def of(cls, blurry: np.ndarray, sharp: np.ndarray) -> '_LoadedPair':
        """Copy two images ``(H, W, 3)`` to tensors."""
        return cls(blurry=torch.tensor(blurry), sharp=torch.tensor(sharp))

    def images(self) -> Tuple[Tensor, Tensor]:
        """Return the images, ``(3, H, W)``."""
        return self.blurry.permute(2, 0, 1), self.sharp.permute(2, 0, 1)
