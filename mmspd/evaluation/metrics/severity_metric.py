"""Measure the blur severity in MMEngine's loops."""

import math
from typing import Any, Dict, List

import numpy as np

from mmspd.evaluation.metrics.base import ImageMetric, MetricInfo, finite_mean
from mmspd.evaluation.metrics.functional import psnr
from mmspd.registry import METRICS
from mmspd.utils.severity import measure_extent

__all__ = ['BlurSeverity']

#: Approximate side of the patches of an image in pixels. The patches divide the image evenly.
_PATCH = 128


@METRICS.register_module()
class BlurSeverity(ImageMetric):
    """``blur-extent``, the extent of the blur in pixels, averaged over the images.

    The mean describes the data, not the model. The metric also stores values of each image, by
    which :func:`mmspd.evaluation.severity_report.group_by_severity` groups the other metrics:

    * ``blur-extent`` in pixels, ``None`` if the extent cannot be measured on the pair;
    * ``PSNR-input`` in dB;
    * ``severity``, the severity that the data set has recorded for the pair, if ``severity`` is
      among the ``meta_keys`` of ``PackInputs``;
    * ``size``, height and width;
    * ``_patches``, the ``PSNR`` and ``PSNR-input`` in dB of patches of equal size. These values are
      only used for grouping and are not saved.

    Args:
        **common: Arguments of :class:`ImageMetric`.

    Examples:
        >>> import cv2
        >>> import torch
        >>> from skimage import data
        >>> from mmspd.evaluation import BlurSeverity
        >>> sharp = data.coffee()[:200, :300]
        >>> blurry, sharp = (torch.from_numpy(image).permute(2, 0, 1).float()
        ...                  for image in (cv2.blur(sharp, (9, 1)), sharp))
        >>> metric = BlurSeverity()
        >>> metric.process(None, [dict(output=dict(pred_img=blurry), gt_img=sharp, input=blurry)])
        >>> 8 < metric.evaluate(size=1)['blur-extent'] < 11
        True
    """

    info = {'blur-extent': MetricInfo(None, 1, 'pixels'), 'PSNR-input': MetricInfo(None, 2, 'dB')}
    needs = ('pred_img', 'gt_img', 'input')

    def measure(self, sample: dict) -> Dict[str, Any]:
        """Measure the blur of the input, and the PSNR of each patch before and after restoration.

        Args:
            sample: A data sample as a dict.

        Returns:
            A dict with the values that the docstring of the class lists.
        """
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
        """Average over the images with a known extent.

        Args:
            results: Values of each image.

        Returns:
            A dict with the mean of ``blur-extent``, which is NaN if no extent is known.
        """
        return {'blur-extent': finite_mean([result['blur-extent'] for result in results])}


def _patch_psnr(image: np.ndarray, sharp: np.ndarray) -> List[float]:
    """Compute the PSNR of each patch of an image in dB, row by row."""
    errors = np.mean((image.astype(np.float64) - sharp) ** 2, axis=2)
    for axis, length in enumerate(sharp.shape[:2]):
        count = max(1, round(length / _PATCH))
        edges = np.linspace(0, length, count + 1).round().astype(int)
        sums = np.add.reduceat(errors, edges[:-1], axis)
        errors = sums / np.expand_dims(np.diff(edges), 1 - axis)
    with np.errstate(divide='ignore'):
        return (10 * np.log10(255.0**2 / errors)).ravel().tolist()
