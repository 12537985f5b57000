"""PSNR for MMEngine's loops."""

import logging
from typing import Any, Dict, List

import numpy as np
from mmengine.logging import print_log

from mmspd.evaluation.metrics.base import ImageMetric, MetricInfo
from mmspd.evaluation.metrics.functional import psnr
from mmspd.registry import METRICS

__all__ = ['PSNR']


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
            print_log(
                f'{identical} of {len(results)} images equal their sharp image exactly; the mean '
                'PSNR is over the others',
                'current',
                logging.WARNING,
            )
        return means
