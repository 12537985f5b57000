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
    """``PSNR`` in dB on 8-bit RGB, averaged over the images.

    An image that equals its sharp image has an infinite PSNR. Such images are excluded from the
    means and counted in ``PSNR-identical`` and in the log. The mean is infinite only if all images
    equal their sharp images.

    Args:
        report_input: Also report ``PSNR-input`` of the blurry images, and ``PSNR-gain``, the mean
            of ``PSNR`` minus ``PSNR-input``.
        **common: Arguments of :class:`ImageMetric`.

    Examples:
        >>> import torch
        >>> from mmspd.evaluation import PSNR
        >>> sharp = torch.full((3, 16, 16), 100.0)
        >>> sample = dict(output=dict(pred_img=sharp + 2), gt_img=sharp, input=sharp + 8)
        >>> metric = PSNR(report_input=True)
        >>> metric.process(None, [sample])
        >>> {name: round(value, 2) for name, value in metric.evaluate(size=1).items()}
        {'PSNR': 42.11, 'PSNR-input': 30.07, 'PSNR-gain': 12.04}
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
        """Measure the prediction and, with ``report_input``, the blurry image.

        Args:
            sample: A data sample as a dict.

        Returns:
            A dict from names to values in dB.
        """
        names = {'PSNR': 'pred_img'}
        if self.report_input:
            names['PSNR-input'] = 'input'
        values = {key: psnr(*self.image_pair(sample, name)) for key, name in names.items()}
        if self.report_input:
            before, after = values['PSNR-input'], values['PSNR']
            values['PSNR-gain'] = after - before if np.isfinite(before) else float('inf')
        return values

    def average(self, results: List[Dict[str, Any]]) -> Dict[str, float]:
        """Average the finite values, and count the images that equal their sharp images.

        Args:
            results: Values of each image.

        Returns:
            A dict from names to means.
        """
        means = super().average(results)
        identical = sum(np.isinf(result['PSNR']) for result in results)
        if identical:
            means['PSNR-identical'] = int(identical)
            self.warn(
                f'{identical} of {len(results)} images equal their sharp image exactly, so the '
                'mean PSNR excludes them.'
            )
        return means


@METRICS.register_module()
class SSIM(ImageMetric):
    """``SSIM-2d`` or ``SSIM-matlab`` on 8-bit RGB, averaged over the images.

    The name states the convention, because ``SSIM-matlab`` (3-D), which most published tables use,
    gives higher values than ``SSIM-2d`` for the same images. To report both conventions, list the
    metric twice.

    Args:
        mode: ``'2d'`` measures each channel separately
            (:func:`~mmspd.evaluation.metrics.functional.ssim_2d`). ``'matlab'`` measures the image
            as a volume (:func:`~mmspd.evaluation.metrics.functional.ssim_matlab`).
        **common: Arguments of :class:`ImageMetric`.

    Raises:
        UserError: The mode is unknown.

    Examples:
        >>> import torch
        >>> from mmspd.evaluation import SSIM
        >>> sharp = torch.arange(3 * 16 * 16).reshape(3, 16, 16) % 256.0
        >>> metric = SSIM(mode='matlab')
        >>> metric.process(None, [dict(output=dict(pred_img=sharp), gt_img=sharp)])
        >>> metric.evaluate(size=1)
        {'SSIM-matlab': 1.0}
    """

    def __init__(self, mode: str = '2d', **common: Any) -> None:
        super().__init__(**common)
        if mode not in _MODES:
            raise UserError(f'SSIM mode={mode!r} is unknown; use one of {", ".join(_MODES)}.')
        self.mode = mode
        self.info = {f'SSIM-{mode}': MetricInfo(True)}

    def measure(self, sample: dict) -> Dict[str, float]:
        """Measure the prediction.

        Args:
            sample: A data sample as a dict.

        Returns:
            A dict from the name of the metric to the SSIM.
        """
        return {f'SSIM-{self.mode}': _MODES[self.mode](*self.image_pair(sample, 'pred_img'))}
