"""Fresh blur for every sample, made while training."""

from typing import Any, Dict, Mapping, Optional, Tuple, Union

import numpy as np
from mmcv.transforms import BaseTransform

from mmspd.datasets.blur.exposure import Box
from mmspd.datasets.blur.synthesis import BlurSpec, synthesize_blur
from mmspd.datasets.samplers import shares_of
from mmspd.datasets.transforms.crop import random_boxes
from mmspd.errors import UserError
from mmspd.registry import TRANSFORMS
from mmspd.utils.severity import SEVERITIES

__all__ = ['SynthesizeBlur']


@TRANSFORMS.register_module()
class SynthesizeBlur(BaseTransform):
    """Make ``img`` (blurry) from ``gt`` (sharp).

    Draws a crop and makes it as it looks in the whole blurred photo, in time that depends on the
    crop alone (:func:`~mmspd.datasets.blur.synthesis.synthesize_blur`). Severities are shares of
    the photo's size, so do not crop before this. An ``img`` that is there is replaced. All
    randomness comes from ``numpy.random``, which the dataset seeds for each sample and epoch.

    Sets ``img`` and ``gt`` to fresh RGB uint8 arrays of shape (crop, crop, 3), ``severity`` to a
    name and ``blur_extent`` to the mean over the crop of the diameter of a point's path in pixels.

    Args:
        gt_patch_size: Side of the crop in pixels; 0 blurs the whole photo, for validation.
        severities: Weight by severity's name, of which each sample gets one; all alike by default.
        extent: Range of the extent in pixels, instead of ``severities``.
        **spec: Arguments of :class:`~mmspd.datasets.blur.synthesis.BlurSpec`: ``kind``,
            ``moving_regions``, ``noise`` and ``highlight_gain``.

    Raises:
        UserError: A value is out of its range, or a photo is smaller than the crop.
    """

    def __init__(
        self,
        gt_patch_size: int = 0,
        severities: Optional[Mapping[str, float]] = None,
        extent: Optional[Tuple[float, float]] = None,
        **spec: Any,
    ) -> None:
        if severities is not None and extent is not None:
            raise UserError('SynthesizeBlur takes severities or extent, not both: leave out one')
        shares: Dict[Union[str, Tuple[float, float]], float] = {}
        if extent is None:
            equal = dict.fromkeys(SEVERITIES, 1)
            shares.update(shares_of(equal if severities is None else severities))
        else:
            shares[extent[0], extent[1]] = 1.0
        self.gt_patch_size = gt_patch_size
        self.shares = list(shares.values())
        self.specs = [BlurSpec(amount, **spec) for amount in shares]

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Crop and blur ``gt``."""
        sharp = results['gt']
        if self.gt_patch_size:
            (box,) = random_boxes(results, self.gt_patch_size)
        else:
            box = Box(0, 0, sharp.shape[1], sharp.shape[0])
        rng = np.random.default_rng(np.random.randint(2**32, size=4, dtype=np.uint32))
        spec = self.specs[rng.choice(len(self.specs), p=self.shares)]
        try:
            blurry, record = synthesize_blur(sharp, rng, spec, box)
        except UserError as error:
            raise UserError(f"'{results['gt_path']}': {error}") from error
        results['img'] = blurry
        results['gt'] = box.of(sharp).copy()
        results['severity'] = record.severity
        results['blur_extent'] = record.extent
        return results
