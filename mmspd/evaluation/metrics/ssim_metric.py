"""SSIM for MMEngine's loops."""

from typing import Dict

from mmspd.evaluation.metrics.base import ImageMetric
from mmspd.evaluation.metrics.functional import ssim_2d
from mmspd.registry import METRICS

__all__ = ['SSIM']


@METRICS.register_module()
class SSIM(ImageMetric):
    """``SSIM-2d``: mean over the images of their 2-D SSIM, on RGB rounded to 8 bits.

    The name states the convention (:func:`~mmspd.evaluation.metrics.functional.ssim_2d`), because
    the 3-D one of most published tables gives higher values for the same images.

    Args:
        collect_device: See :class:`ImageMetric`.
        prefix: As there.
    """

    def measure(self, sample: dict) -> Dict[str, float]:
        """Measure the prediction."""
        return {'SSIM-2d': ssim_2d(*self.image_pair(sample, 'pred_img'))}
