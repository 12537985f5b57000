"""Measured severity of the blur, for MMEngine's loops."""

import math
from typing import Any, Dict, List

import numpy as np

from mmspd.evaluation.metrics.base import ImageMetric, MetricInfo, finite_mean
from mmspd.evaluation.metrics.functional import psnr
from mmspd.registry import METRICS
from mmspd.utils.severity import measure_extent

__all__ = ['BlurSeverity']

#: Side of the parts of an image in pixels, about: they divide it evenly.
_PATCH = 128


@METRICS.register_module()
class BlurSeverity(ImageMetric):
    """``blur-extent``: mean over the images of the extent of their blur, in pixels.

    It is about the data, not the model. Its values per image are what
    :func:`mmspd.evaluation.severity_report.group_by_severity` groups the other metrics by:
    ``blur-extent`` (``None`` where the pair does not show it), ``PSNR-input`` in dB, ``severity``
    (the recorded one, if ``PackInputs`` carries it), ``size`` as height and width, and
    ``_patches``, the ``PSNR`` and ``PSNR-input`` of equal parts of the image in dB, which is for
    grouping alone and not meant to be saved.

    Args: see :class:`ImageMetric`.
    """

    info = {'blur-extent': MetricInfo(None, 1, 'pixels'), 'PSNR-input': MetricInfo(None, 2, 'dB')}

    def measure(self, sample: dict) -> Dict[str, Any]:
        """Measure the blur of the input, and the errors before and after in its parts."""
        blurry, sharp = self.image_pair(sample, 'input')
        restored, _ = self.image_pair(sample, 'pred_img')
        extent = measure_extent(blurry, sharp)
        return {
            'blur-extent': None if math.isnan(extent) else extent,
            'PSNR-input': psnr(blurry, sharp),
            'severity': sample.get('severity'),
            'size': list(sharp.shape[:2]),
            '_patches': {
                'PSNR': _patch_psnr(restored, sharp),
                'PSNR-input': _patch_psnr(blurry, sharp),
            },
        }

    def average(self, results: List[Dict[str, Any]]) -> Dict[str, float]:
        """Average over the images whose extent is known; NaN where none is."""
        return {'blur-extent': finite_mean([result['blur-extent'] for result in results])}


def _patch_psnr(image: np.ndarray, sharp: np.ndarray) -> List[float]:
    """Return the PSNR in dB of each part of an image, row by row."""
    errors = np.mean((image.astype(np.float64) - sharp) ** 2, axis=2)
    for axis, length in enumerate(sharp.shape[:2]):
        count = max(1, round(length / _PATCH))
        edges = np.linspace(0, length, count + 1).round().astype(int)
        sums = np.add.reduceat(errors, edges[:-1], axis)
        errors = sums / np.expand_dims(np.diff(edges), 1 - axis)
    with np.errstate(divide='ignore'):
        return (10 * np.log10(255.0**2 / errors)).ravel().tolist()
