"""The blur effect for MMEngine's loops."""

from typing import Optional

import numpy as np

from mmspd.evaluation.metrics.base import MetricInfo
from mmspd.evaluation.metrics.no_reference import NoReferenceMetric
from mmspd.registry import METRICS

__all__ = ['BlurEffect']


@METRICS.register_module()
class BlurEffect(NoReferenceMetric):
    """``blur-effect``: how much of its detail an image would keep when blurred; lower is sharper.

    From 0 for a sharp image to 1. Noise and ringing count as sharpness.

    Args: see :class:`NoReferenceMetric`.

    Source: scikit-image's ``blur_effect``, after Crete et al., "The Blur Effect: Perception and
    Estimation with a New No-Reference Perceptual Blur Metric", SPIE 2007.
    """

    name = 'blur-effect'
    info = {
        'blur-effect': MetricInfo(False, package='skimage'),
        'blur-effect-input': MetricInfo(None),
    }

    def judge(self, image: np.ndarray) -> Optional[float]:
        """Measure the blur effect; ``None`` of an image without any contrast."""
        from skimage.measure import blur_effect  # only this metric needs it

        if np.ptp(image) == 0:
            return None
        return float(blur_effect(image, channel_axis=2))
