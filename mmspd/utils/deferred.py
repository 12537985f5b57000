"""Pairs of images that the model computes on its own device, instead of a worker."""

from typing import Any, Tuple

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

__all__ = ['DeferredPair', 'compute_pairs']


class DeferredPair(BaseDataElement):
    """A pair of images that the model computes on its device.

    A transform puts it in the place of ``img`` and removes ``gt``. The model replaces it by the
    images before its data preprocessor runs (:func:`compute_pairs`). Subclasses hold tensors as
    data and plain numbers as metainfo, so that no value is read from the device.

    Attributes:
        flips: Names of the operations that are applied to both images: ``'horizontal'``,
            ``'vertical'`` and ``'transpose'``. Transposition is always the last one.
    """

    def images(self) -> Tuple[Tensor, Tensor]:
        """Compute the blurry and the sharp image.

        Returns:
            Two tensors of shape ``(3, H, W)``, RGB, uint8, on the device of the data.
        """
        raise NotImplementedError

    def flipped_images(self) -> Tuple[Tensor, Tensor]:
        """Compute the blurry and the sharp image, and flip and transpose both.

        Returns:
            Two tensors as :meth:`images` returns them.
        """
        names = self.get('flips', ())
        axes = [axis for axis, name in ((-1, 'horizontal'), (-2, 'vertical')) if name in names]
        blurry, sharp = (image.flip(axes) if axes else image for image in self.images())
        if 'transpose' in names:
            blurry, sharp = blurry.mT, sharp.mT
        return blurry.contiguous(), sharp.contiguous()


@torch.no_grad()
def compute_pairs(batch: Any, device: torch.device) -> Any:
    """Compute the deferred pairs of a batch in float32, and put their images into the batch.

    Args:
        batch: A batch of the data loader. In the list ``inputs``, some images may be deferred.
        device: Device of the model.

    Returns:
        The batch with the blurry images as ``inputs`` and the sharp images as ``gt_img`` of the
        data samples. Other images are not changed.
    """
    inputs = batch['inputs']
    if isinstance(inputs, Tensor) or not any(isinstance(img, DeferredPair) for img in inputs):
        return batch
    images = []
    with torch.autocast(device.type, enabled=False):
        for img, data_sample in zip(inputs, batch['data_samples']):
            if isinstance(img, DeferredPair):
                img, sharp = img.to(device, non_blocking=True).flipped_images()
                data_sample.set_data(dict(gt_img=sharp))
            images.append(img)
    return dict(batch, inputs=images)
