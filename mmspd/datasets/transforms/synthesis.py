"""Synthesize new blur for every sample during training."""

from typing import Any, Dict, Mapping, Optional, Tuple, Union

import numpy as np
from mmcv.transforms import BaseTransform

from mmspd.datasets.blur.exposure import Box
from mmspd.datasets.blur.on_device import PlannedBlur
from mmspd.datasets.blur.synthesis import BlurSpec, expose, plan_blur
from mmspd.datasets.samplers import shares_of
from mmspd.datasets.transforms.crop import random_boxes
from mmspd.errors import UserError
from mmspd.registry import TRANSFORMS
from mmspd.utils.severity import SEVERITIES

__all__ = ['SynthesizeBlur']


@TRANSFORMS.register_module()
class SynthesizeBlur(BaseTransform):
    """Makes ``img`` (blurry) from ``gt`` (sharp).

    Draws a crop and computes only that crop of the blurred photo
    (:func:`~mmspd.datasets.blur.synthesis.synthesize_blur`). The severity is relative to the size
    of the whole photo, so do not crop before this transform. An existing ``img`` is replaced. The
    randomness comes from ``numpy.random``, which the dataset seeds for each sample and epoch.

    Sets ``img`` and ``gt`` to new RGB uint8 arrays of shape ``(crop, crop, 3)``, and ``severity``
    to the name of the severity. Sets ``blur_extent`` to the mean diameter of the paths of the
    points in the crop, in pixels.

    Args:
        gt_patch_size: Side of the crop in pixels; 0 blurs the whole photo (for validation).
        severities: Weight of each severity, at least 0. Each sample draws one severity. Default:
            equal weights.
        extent: Range of the extent of the blur in pixels. It replaces ``severities``.
        on_device: Whether to only draw the blur, and to leave the computation to the device of the
            model. Then ``img`` is a :class:`~mmspd.datasets.blur.on_device.PlannedBlur` and ``gt``
            is removed. The next transforms may only be ``mmspd.FlipAndTranspose`` and
            ``PackInputs``.
        **spec: Arguments of :class:`~mmspd.datasets.blur.synthesis.BlurSpec`: ``kind``,
            ``moving_regions``, ``noise`` and ``highlight_gain``.

    Raises:
        UserError: A value is out of its range, or a photo is smaller than the crop.

    Examples:
        >>> import numpy as np
        >>> from mmspd.datasets import SynthesizeBlur
        >>> sharp = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
        >>> blur = SynthesizeBlur(gt_patch_size=64, severities=dict(moderate=1, severe=0))
        >>> sample = blur(dict(gt=sharp, gt_path='sharp.png'))
        >>> sample['img'].shape, sample['gt'].shape, sample['severity']
        ((64, 64, 3), (64, 64, 3), 'moderate')
    """

    def __init__(
        self,
        gt_patch_size: int = 0,
        severities: Optional[Mapping[str, float]] = None,
        extent: Optional[Tuple[float, float]] = None,
        on_device: bool = False,
        **spec: Any,
    ) -> None:
        if severities is not None and extent is not None:
            raise UserError('SynthesizeBlur got severities and extent; give only one of the two.')
        shares: Dict[Union[str, Tuple[float, float]], float] = {}
        if extent is None:
            equal = dict.fromkeys(SEVERITIES, 1)
            shares.update(shares_of(equal if severities is None else severities))
        else:
            shares[extent[0], extent[1]] = 1.0
        self.gt_patch_size = gt_patch_size
        self.on_device = on_device
        self.shares = list(shares.values())
        self.specs = [BlurSpec(amount, **spec) for amount in shares]

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Crop and blur ``gt``.

        Args:
            results: A sample with ``gt`` and ``gt_path``.

        Returns:
            The sample with ``img``, ``gt``, ``severity`` and ``blur_extent``.
        """
        sharp = results['gt']
        if self.gt_patch_size:
            (box,) = random_boxes(results, self.gt_patch_size)
        else:
            box = Box(0, 0, sharp.shape[1], sharp.shape[0])
        rng = np.random.default_rng(np.random.randint(2**32, size=4, dtype=np.uint32))
        spec = self.specs[rng.choice(len(self.specs), p=self.shares)]
        try:
            plan = plan_blur(sharp, rng, spec, box)
        except UserError as error:
            raise UserError(f"'{results['gt_path']}': {error}") from error
        if self.on_device:
            results['img'] = PlannedBlur.of(plan, sharp, seed=int(rng.integers(2**63)))
            del results['gt']
        else:
            results['img'] = expose(plan, sharp, rng)
            results['gt'] = box.of(sharp).copy()
        results['severity'] = plan.record.severity
        results['blur_extent'] = plan.record.extent
        return results
