"""Base of the metrics that judge an image alone, without a sharp one."""

import logging
from abc import abstractmethod
from typing import Any, Dict, List, Optional

import numpy as np
from mmengine.logging import print_log

from mmspd.evaluation.metrics.base import ImageMetric

__all__ = ['NoReferenceMetric']


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
                print_log(
                    f'{name} cannot judge {unknown} of {len(results)} images, too small or '
                    'without structure; its mean is over the others',
                    'current',
                    logging.WARNING,
                )
        return means
