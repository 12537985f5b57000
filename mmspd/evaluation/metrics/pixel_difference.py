"""Compare finished images value by value."""

from typing import Any, Dict, List

import numpy as np

from mmspd.evaluation.metrics.base import ImageMetric, MetricInfo
from mmspd.registry import METRICS

__all__ = ['PixelDifference']


@METRICS.register_module()
class PixelDifference(ImageMetric):
    """``largest-difference`` and ``equal-values`` of 8-bit images.

    ``largest-difference`` is the largest absolute difference of two values, in gray levels, over
    all images. ``equal-values`` is the share of equal values, averaged over the images. Use this
    metric to check that two programs restore the same images.

    Args:
        **common: Arguments of :class:`ImageMetric`.

    Examples:
        >>> import torch
        >>> from mmspd.evaluation import PixelDifference
        >>> sharp = torch.full((3, 2, 2), 100.0)
        >>> other = sharp.clone()
        >>> other[0, 0, 0] += 1
        >>> metric = PixelDifference()
        >>> metric.process(None, [dict(output=dict(pred_img=other), gt_img=sharp)])
        >>> {name: round(value, 4) for name, value in metric.evaluate(size=1).items()}
        {'largest-difference': 1, 'equal-values': 0.9167}
    """

    info = {
        'largest-difference': MetricInfo(False, 0, 'gray levels'),
        'equal-values': MetricInfo(True),
    }

    def measure(self, sample: dict) -> Dict[str, float]:
        """Compare the prediction with the sharp image.

        Args:
            sample: A data sample as a dict.

        Returns:
            A dict from names to values.
        """
        restored, sharp = self.image_pair(sample, 'pred_img')
        difference = np.abs(restored.astype(np.int16) - sharp)
        return {
            'largest-difference': int(difference.max()),
            'equal-values': float(np.mean(difference == 0)),
        }

    def average(self, results: List[Dict[str, Any]]) -> Dict[str, float]:
        """Return the largest difference of all images, and the mean share of equal values.

        Args:
            results: Values of each image.

        Returns:
            A dict from names to values.
        """
        largest = max(result['largest-difference'] for result in results)
        return {**super().average(results), 'largest-difference': largest}
