"""Base of the metrics that compare a restored image with its sharp one."""

import logging
from abc import abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmspd.errors import UserError
from mmspd.evaluation.metrics.functional import to_uint8_rgb

__all__ = ['ImageMetric', 'MetricInfo', 'finite_mean', 'key_of']


@dataclass(frozen=True)
class MetricInfo:
    """How to print and compare a value that a metric measures.

    Attributes:
        higher_is_better: The direction; None for a value that does not rate the restored image,
            such as one of the blurry image or a count. Such values are not compared.
        digits: Decimals to print.
        unit: For the axes of plots; empty without one.
        package: The package, as it is imported, whose version changes the value: results of
            different versions are not compared.
    """

    higher_is_better: Optional[bool]
    digits: int = 4
    unit: str = ''
    package: Optional[str] = None

    def text(self, value: float, sign: str = '') -> str:
        """Print a value; with ``sign='+'`` as a difference."""
        return f'{value:{sign}.{self.digits}f}'


class ImageMetric(BaseMetric):
    """A number per image on 8-bit RGB, averaged over the images.

    The predictions are clamped and rounded first: what is measured is the image that a user gets.
    Works in MMEngine's own loops and evaluator, distributed or not. The samples are MMagic's: the
    restored image in ``output.pred_img``, the sharp one in ``gt_img``, the blurry one in
    ``input``, all BGR of shape (3, H, W) in [0, 255], whatever their metadata say.

    A subclass states in :attr:`info` how to read each number that it measures. A value called
    ``NAME-input`` is that of the blurry image; reports by severity then show ``NAME-gain`` too.

    Args:
        collect_device: ``'cpu'`` or ``'gpu'``: what gathers the results of the ranks.
        prefix: Put before the names of the results, as ``prefix/PSNR``.

    Attributes:
        info: A :class:`MetricInfo` for every number that is measured or reported, by its name.
        per_image: What the last evaluation measured, in the data set's order and on the main
            process alone: a dict per image of its ``key`` and the values of :meth:`measure`.
    """

    # None would make MMEngine warn; an empty prefix leaves the names as they are
    default_prefix = ''

    info: Mapping[str, MetricInfo] = {}

    def __init__(self, collect_device: str = 'cpu', prefix: Optional[str] = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.per_image: List[Dict[str, Any]] = []

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Measure every image of a batch.

        Args:
            data_batch: Not used.
            data_samples: The model's predictions, as dicts.

        Raises:
            UserError: A number is measured that :attr:`info` lacks.
        """
        for sample in data_samples:
            values = self.measure(sample)
            for name, value in values.items():
                if isinstance(value, Real) and name not in self.info:
                    raise UserError(
                        f"{type(self).__name__}.info lacks '{name}', which it measures: add "
                        f"'{name}': MetricInfo(higher_is_better=True), False or None, to it"
                    )
            self.results.append({'key': key_of(sample), **values})

    @abstractmethod
    def measure(self, sample: dict) -> Dict[str, Any]:
        """Measure one image: its values by their names in the report."""

    def compute_metrics(self, results: List[Dict[str, Any]]) -> Dict[str, float]:
        """Keep the values of the images and average them."""
        self.per_image = results
        return self.average(results)

    def average(self, results: List[Dict[str, Any]]) -> Dict[str, float]:
        """Average over the images, see :func:`finite_mean`.

        Args:
            results: As in :attr:`per_image`, at least one.
        """
        names = [name for name in results[0] if name != 'key']
        return {name: finite_mean([result[name] for result in results]) for name in names}

    @staticmethod
    def warn(message: str) -> None:
        """Write a warning to the log of the run."""
        print_log(message, 'current', logging.WARNING)

    @staticmethod
    def image(sample: dict, name: str) -> np.ndarray:
        """Fetch an image of a sample.

        Args:
            sample: A data sample as a dict.
            name: ``'pred_img'``, ``'gt_img'`` or ``'input'``.

        Returns:
            RGB, uint8, shape (H, W, 3).

        Raises:
            UserError: The sample has no such image.
        """
        image = sample.get(name, sample.get('output', {}).get(name))
        if not isinstance(image, torch.Tensor):
            names = ', '.join(sorted({*sample, *sample.get('output', {})}))
            raise UserError(f"the sample has no image '{name}' to measure (it holds {names})")
        return to_uint8_rgb(image.detach().float().cpu().numpy())

    @classmethod
    def image_pair(cls, sample: dict, name: str) -> Sequence[np.ndarray]:
        """Fetch an image and the sharp one.

        Raises:
            UserError: One is missing, or their sizes differ.
        """
        image, sharp = cls.image(sample, name), cls.image(sample, 'gt_img')
        if image.shape != sharp.shape:
            raise UserError(
                f"'{name}' is {image.shape[1]}x{image.shape[0]} but the sharp image is "
                f'{sharp.shape[1]}x{sharp.shape[0]}: do not crop or resize one alone'
            )
        return image, sharp


def finite_mean(values: Sequence[Optional[float]]) -> float:
    """Average the values that are known, ``None`` is not, and finite.

    Returns:
        The mean; infinite where all that are known are, NaN where none is.
    """
    known = [value for value in values if value is not None]
    finite = [value for value in known if not np.isinf(value)]
    return float(np.mean(finite or known)) if known else float('nan')


def key_of(sample: dict) -> str:
    """Name an image in a report: by its pair's key, else by its file, else not at all."""
    return str(sample.get('key') or sample.get('img_path') or '')
