"""Measured severity of the blur, for MMEngine's loops."""

import math
from typing import Any, Dict, List

import numpy as np

from mmspd.errors import UserError
from mmspd.evaluation.metrics.base import ImageMetric, MetricInfo, finite_mean
from mmspd.registry import METRICS
from mmspd.utils.severity import measure_severity

__all__ = ['BlurSeverity']


@METRICS.register_module()
class BlurSeverity(ImageMetric):
    """``blur-extent``: mean over the images of the extent of their blur, in pixels.

    It is about the data, not the model. Its values per image are what
    :func:`mmspd.evaluation.severity_report.group_by_severity` groups the other metrics by:
    ``blur-extent`` (``None`` where the pair does not show it), ``PSNR-input`` in dB, ``severity``
    (the recorded one, if ``PackInputs`` carries it), ``size`` as height and width, and
    ``_patches``, the ``PSNR`` and ``PSNR-input`` of equal parts of the image in dB, which is for
    grouping alone and not meant to be saved.

    Args:
        patch_size: Side of the parts in pixels, about: they divide the image evenly.
        **common: Arguments of :class:`ImageMetric`.

    Raises:
        UserError: The size of the patches is not positive.
    """

    info = {'blur-extent': MetricInfo(None, 1, 'pixels'), 'PSNR-input': MetricInfo(None, 2, 'dB')}

    def __init__(self, patch_size: int = 128, **common: Any) -> None:
        super().__init__(**common)
        if patch_size < 1:
            raise UserError(f'BlurSeverity: patch_size is at least 1 pixel, not {patch_size}')
        self.patch_size = patch_size

    def measure(self, sample: dict) -> Dict[str, Any]:
        """Measure the blur of the input, and the errors before and after in its parts."""
        blurry, sharp = self.image_pair(sample, 'input')
        restored, _ = self.image_pair(sample, 'pred_img')
        blur = measure_severity(blurry, sharp)
        return {
            'blur-extent': None if math.isnan(blur.extent) else blur.extent,
            'PSNR-input': blur.psnr,
            'severity': sample.get('severity'),
            'size': list(sharp.shape[:2]),
            '_patches': {
                'PSNR': _patch_psnr(restored, sharp, self.patch_size),
                'PSNR-input': _patch_psnr(blurry, sharp, self.patch_size),
            },
        }

    def average(self, results: List[Dict[str, Any]]) -> Dict[str, float]:
        """Average over the images whose extent is known; NaN where none is."""
        return {'blur-extent': finite_mean([result['blur-extent'] for result in results])}


def _patch_psnr(image: np.ndarray, sharp: np.ndarray, patch_size: int) -> List[float]:
    """Return the PSNR in dB of each part of an image, row by row."""
    errors = np.mean((image.astype(np.float64) - sharp) ** 2, axis=2)
    for axis, length in enumerate(sharp.shape[:2]):
        count = max(1, round(length / patch_size))
        edges = np.linspace(0, length, count + 1).round().astype(int)
        sums = np.add.reduceat(errors, edges[:-1], axis)
        errors = sums / np.expand_dims(np.diff(edges), 1 - axis)
    with np.errstate(divide='ignore'):
        return (10 * np.log10(255.0**2 / errors)).ravel().tolist()
