"""Metrics that need no sharp image."""

import warnings
from abc import abstractmethod
from functools import cached_property
from typing import Any, Dict, List, Optional

import numpy as np

from mmspd.evaluation.metrics.base import ImageMetric, MetricInfo
from mmspd.registry import METRICS, import_sibling

__all__ = ['NIQE', 'BlurEffect', 'NoReferenceMetric']


_NIQE_BLOCK = 96  # side of the blocks of NIQE in pixels


class NoReferenceMetric(ImageMetric):
    """Base class of metrics that need no sharp image.

    Images that cannot be measured are left out of the mean.

    Args:
        report_input: Also report the mean of the blurry images, as ``NAME-input``.
        **common: Arguments of :class:`ImageMetric`.
    """

    #: Name in the report. Define :attr:`info` for this name and for the name with ``-input``.
    name = ''
    needs = ('pred_img',)

    def __init__(self, report_input: bool = False, **common: Any) -> None:
        super().__init__(**common)
        self.report_input = report_input

    @abstractmethod
    def judge(self, image: np.ndarray) -> Optional[float]:
        """Measure an image.

        Args:
            image: RGB, uint8, shape (H, W, 3).

        Returns:
            The value, or ``None`` if the image cannot be measured.
        """

    def measure(self, sample: dict) -> Dict[str, Optional[float]]:
        """Measure the prediction and, with ``report_input``, the blurry image.

        Args:
            sample: A data sample as a dict.

        Returns:
            A dict from names to values. ``None`` stands for an image that cannot be measured.
        """
        values = {self.name: self.judge(self.image(sample, 'pred_img'))}
        if self.report_input:
            values[f'{self.name}-input'] = self.judge(self.image(sample, 'input'))
        return values

    def average(self, results: List[Dict[str, Any]]) -> Dict[str, float]:
        """Average over the measured images.

        Args:
            results: Values of each image.

        Returns:
            A dict from names to means. A mean is NaN if no image was measured.
        """
        means = super().average(results)
        for name in means:
            unknown = sum(result[name] is None for result in results)
            if unknown:
                self.warn(
                    f'{name} cannot measure {unknown} of {len(results)} images (too small or '
                    'without structure), so its mean excludes them.'
                )
        return means


@METRICS.register_module()
class BlurEffect(NoReferenceMetric):
    """``blur-effect``, averaged over the images. Lower is sharper.

    The metric blurs the image again and measures the detail that remains. The value is between 0
    (sharp) and 1 (blurry). Noise and ringing count as sharpness.

    Args:
        report_input: Also report ``blur-effect-input``, the mean of the blurry images.
        **common: Arguments of :class:`ImageMetric`.

    Source: scikit-image's ``blur_effect``, after Crete et al., "The Blur Effect: Perception and
    Estimation with a New No-Reference Perceptual Blur Metric", SPIE 2007.

    Examples:
        >>> import cv2
        >>> from skimage import data
        >>> from mmspd.evaluation import BlurEffect
        >>> photo = data.astronaut()[:128, 160:288]
        >>> BlurEffect().judge(photo) < BlurEffect().judge(cv2.blur(photo, (9, 9)))
        True
    """

    name = 'blur-effect'
    info = {
        'blur-effect': MetricInfo(False, package='skimage'),
        'blur-effect-input': MetricInfo(None),
    }

    def judge(self, image: np.ndarray) -> Optional[float]:
        """Measure the blur effect.

        Args:
            image: RGB, uint8, shape (H, W, 3).

        Returns:
            The blur effect, or ``None`` for an image without contrast.
        """
        from skimage.measure import blur_effect  # imported here, because only this metric needs it

        if np.ptp(image) == 0:
            return None
        return float(blur_effect(image, channel_axis=2))


@METRICS.register_module()
class NIQE(NoReferenceMetric):
    """``NIQE``, averaged over the images. Lower is better.

    The metric compares the statistics of an image with those of natural photos. MMagic computes it
    on the luma (Y of YCbCr). The values agree with those of BasicSR and MATLAB. An image needs at
    least two blocks of 96x96 pixels with structure.

    Args:
        report_input: Also report ``NIQE-input``, the mean of the blurry images.
        **common: Arguments of :class:`ImageMetric`.

    Source: Mittal et al., "Making a 'Completely Blind' Image Quality Analyzer", IEEE SPL 2013.

    Examples:
        >>> import cv2
        >>> from skimage import data
        >>> from mmspd.evaluation import NIQE
        >>> photo = data.astronaut()[:96, 100:292]
        >>> NIQE().judge(photo) < NIQE().judge(cv2.blur(photo, (9, 9)))
        True
        >>> NIQE().judge(photo[:, :96]) is None
        True
    """

    name = 'NIQE'
    info = {'NIQE': MetricInfo(False, package='mmagic'), 'NIQE-input': MetricInfo(None)}

    @cached_property
    def _niqe(self) -> Any:
        import_sibling('mmagic')
        # MMEngine would warn without a prefix; the prefix itself is not used
        return METRICS.build(dict(type='mmagic.NIQE', convert_to='y', prefix='NIQE'))

    def judge(self, image: np.ndarray) -> Optional[float]:
        """Measure NIQE.

        Args:
            image: RGB, uint8, shape (H, W, 3).

        Returns:
            NIQE, or ``None`` if the image has too few blocks with structure.
        """
        rows, columns = (side // _NIQE_BLOCK for side in image.shape[:2])
        if rows * columns < 2:  # NumPy 1 would compute a value from one block
            return None
        try:
            with warnings.catch_warnings():
                # NumPy warns about flat blocks; MMagic excludes them
                warnings.simplefilter('ignore', RuntimeWarning)
                return float(self._niqe.process_image(None, image[..., ::-1], None))
        except np.linalg.LinAlgError:
            return None
