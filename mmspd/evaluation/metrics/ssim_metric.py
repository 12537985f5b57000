"""SSIM for MMEngine's loops."""

from typing import Any, Dict

from mmspd.errors import UserError
from mmspd.evaluation.metrics.base import ImageMetric, MetricInfo
from mmspd.evaluation.metrics.functional import ssim_2d, ssim_matlab
from mmspd.registry import METRICS

__all__ = ['SSIM']

_MODES = {'2d': ssim_2d, 'matlab': ssim_matlab}


@METRICS.register_module()
class SSIM(ImageMetric):
    """``SSIM-2d`` or ``SSIM-matlab``: mean over the images of their SSIM, on RGB of 8 bits.

    The name states the convention, because the 3-D one of most published tables gives higher
    values for the same images. For both, list the metric twice.

    Args:
        mode: ``'2d'``, each channel by itself
            (:func:`~mmspd.evaluation.metrics.functional.ssim_2d`), or ``'matlab'``, the image as a
            volume (:func:`~mmspd.evaluation.metrics.functional.ssim_matlab`).
        **common: Arguments of :class:`ImageMetric`.

    Raises:
        UserError: There is no such mode.
    """

    def __init__(self, mode: str = '2d', **common: Any) -> None:
        super().__init__(**common)
        if mode not in _MODES:
            raise UserError(f"SSIM's mode is one of {', '.join(_MODES)}, not {mode!r}")
        self.mode = mode
        self.info = {f'SSIM-{mode}': MetricInfo(True)}

    def measure(self, sample: dict) -> Dict[str, float]:
        """Measure the prediction."""
        return {f'SSIM-{self.mode}': _MODES[self.mode](*self.image_pair(sample, 'pred_img'))}
