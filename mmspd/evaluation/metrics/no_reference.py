"""Metrics that judge an image alone, without a sharp one."""

import warnings
from abc import abstractmethod
from functools import cached_property
from typing import Any, Dict, List, Optional

import numpy as np

from mmspd.evaluation.metrics.base import ImageMetric, MetricInfo
from mmspd.registry import METRICS, import_sibling

__all__ = ['NIQE', 'BlurEffect', 'NoReferenceMetric']


class NoReferenceMetric(ImageMetric):
    """A number per image that needs no sharp image, averaged over those that it can judge.

    Args:
        report_input: Report the mean of the blurry images as well, under the name with ``-input``.
        **common: Arguments of :class:`ImageMetric`.
    """

    #: In the report and in :attr:`info`, where the name with ``-input`` stands as well.
    name = ''

    def __init__(self, report_input: bool = False, **common: Any) -> None:
        super().__init__(**common)
        self.report_input = report_input

    @abstractmethod
    def judge(self, image: np.ndarray) -> Optional[float]:
        """Judge an image.

        Args:
            image: RGB, uint8, shape (H, W, 3).

        Returns:
            The number, ``None`` where there is nothing to judge.
        """

    def measure(self, sample: dict) -> Dict[str, Optional[float]]:
        """Judge the prediction, and the input if asked."""
        values = {self.name: self.judge(self.image(sample, 'pred_img'))}
        if self.report_input:
            values[f'{self.name}-input'] = self.judge(self.image(sample, 'input'))
        return values

    def average(self, results: List[Dict[str, Any]]) -> Dict[str, float]:
        """Average over the images that could be judged; NaN where there is none."""
        means = super().average(results)
        for name in means:
            unknown = sum(result[name] is None for result in results)
            if unknown:
                self.warn(
                    f'{name} cannot judge {unknown} of {len(results)} images, too small or '
                    'without structure; its mean is over the others'
                )
        return means


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


@METRICS.register_module()
class NIQE(NoReferenceMetric):
    """``NIQE``: how far an image's statistics are from those of natural photos; lower is better.

    MMagic's implementation on the luma of YCbCr, which agrees with BasicSR's and MATLAB's. Images
    need two blocks of 96x96 pixels with structure.

    Args: see :class:`NoReferenceMetric`.

    Source: Mittal et al., "Making a 'Completely Blind' Image Quality Analyzer", IEEE SPL 2013.
    """

    name = 'NIQE'
    info = {'NIQE': MetricInfo(False, package='mmagic'), 'NIQE-input': MetricInfo(None)}

    @cached_property
    def _niqe(self) -> Any:
        import_sibling('mmagic')
        # without a prefix MMEngine warns; this metric makes no report
        return METRICS.build(dict(type='mmagic.NIQE', convert_to='y', prefix='NIQE'))

    def judge(self, image: np.ndarray) -> Optional[float]:
        """Measure NIQE; ``None`` where there are not enough blocks with structure."""
        try:
            with warnings.catch_warnings():
                # flat blocks have no statistics: NumPy warns, MMagic leaves them out
                warnings.simplefilter('ignore', RuntimeWarning)
                return float(self._niqe.process_image(None, image[..., ::-1], None))
        except np.linalg.LinAlgError:
            return None
