"""PSNR and SSIM for MMEngine's loops."""

from typing import Any, Dict, List

import numpy as np

from mmspd.errors import UserError
from mmspd.evaluation.metrics.base import ImageMetric, MetricInfo
from mmspd.evaluation.metrics.functional import psnr, ssim_2d, ssim_matlab
from mmspd.registry import METRICS

__all__ = ['PSNR', 'SSIM']

_MODES = {'2d': ssim_2d, 'matlab': ssim_matlab}


@METRICS.register_module()
class PSNR(ImageMetric):
    """``PSNR``: mean over the images of their PSNR in dB, on RGB rounded to 8 bits.

    An image that equals its sharp one has no finite PSNR: such images are left out of the means,
    counted in ``PSNR-identical`` and named in the log. Only if every image is like that is the
    mean infinite.

    Args:
        report_input: Report ``PSNR-input``, of the blurry images, and ``PSNR-gain``, the mean of
            each image's difference, as well.
        **common: Arguments of :class:`ImageMetric`.
    """

    info = {
        'PSNR': MetricInfo(True, 2, 'dB'),
        'PSNR-input': MetricInfo(None, 2, 'dB'),
        'PSNR-gain': MetricInfo(None, 2, 'dB'),
        'PSNR-identical': MetricInfo(None, 0),
    }

    def __init__(self, report_input: bool = False, **common: Any) -> None:
        super().__init__(**common)
        self.report_input = report_input

    def measure(self, sample: dict) -> Dict[str, float]:
        """Measure the prediction, and the input if asked."""
        names = {'PSNR': 'pred_img'}
        if self.report_input:
            names['PSNR-input'] = 'input'
        values = {key: psnr(*self.image_pair(sample, name)) for key, name in names.items()}
        if self.report_input:
            before, after = values['PSNR-input'], values['PSNR']
            values['PSNR-gain'] = after - before if np.isfinite(before) else float('inf')
        return values

    def average(self, results: List[Dict[str, Any]]) -> Dict[str, float]:
        """Average over the images with finite values, and count those without error."""
        means = super().average(results)
        identical = sum(np.isinf(result['PSNR']) for result in results)
        if identical:
            means['PSNR-identical'] = int(identical)
            self.warn(
                f'{identical} of {len(results)} images equal their sharp image exactly; the mean '
                'PSNR is over the others'
            )
        return means


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
