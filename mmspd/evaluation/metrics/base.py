"""Base class of the metrics that measure restored images."""

import logging
from abc import abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmspd.errors import UserError
from mmspd.evaluation.metrics.functional import ROUNDINGS, to_uint8_rgb

__all__ = ['ImageMetric', 'MetricInfo', 'finite_mean', 'key_of']


@dataclass(frozen=True)
class MetricInfo:
    """Describes how to print and compare a value of a metric.

    Attributes:
        higher_is_better: Whether a higher value is better. ``None`` marks a value that does not
            rate the restored image, such as a count or a value of the blurry image. Such values are
            not compared.
        digits: Number of decimals to print.
        unit: Unit for the axes of plots, or an empty string.
        package: Import name of a package on which the value depends. Results of different versions
            of this package are not compared.

    Examples:
        >>> from mmspd.evaluation import MetricInfo
        >>> info = MetricInfo(higher_is_better=True, digits=2, unit='dB')
        >>> info.text(31.2345), info.text(0.5, sign='+')
        ('31.23', '+0.50')
    """

    higher_is_better: Optional[bool]
    digits: int = 4
    unit: str = ''
    package: Optional[str] = None

    def text(self, value: float, sign: str = '') -> str:
        """Format a value.

        Args:
            value: The value.
            sign: ``'+'`` prints the sign of positive values too, for differences.

        Returns:
            The text.
        """
        return f'{value:{sign}.{self.digits}f}'

    def are_equal(self, first: float, second: float) -> bool:
        """Return whether two values, or their difference and zero, are equal as printed.

        Args:
            first: The first value.
            second: The second value.

        Returns:
            True if :meth:`text` cannot show that one value is better.
        """
        return self.text(first) == self.text(second) or float(self.text(second - first)) == 0


class ImageMetric(BaseMetric):
    """Base class of metrics that measure each image in 8-bit RGB and average over the images.

    The predictions are clamped and converted first, so the metric measures the image that is saved.
    The metric works in MMEngine's loops and evaluator, distributed or not. The samples have
    MMagic's form: the restored image is ``output.pred_img``, the sharp image is ``gt_img``, and the
    blurry image is ``input``. The images are BGR of shape (3, H, W) in [0, 255]. Metadata about the
    channel order is ignored.

    A subclass describes each of its values in :attr:`info`. If a subclass measures ``NAME`` on the
    restored image and ``NAME-input`` on the blurry image, reports by severity also show
    ``NAME-gain``.

    Args:
        collect_device: Device that collects the results of all ranks, ``'cpu'`` or ``'gpu'``.
        prefix: Prefix of the names of the results, as in ``prefix/PSNR``.
        rounding: Conversion of the predictions to 8 bits. ``'nearest'`` rounds. ``'truncate'``
            drops the fraction, as the evaluation of SRN, PSS-NSC and DeblurGAN-v2 does. Other
            images have whole numbers and are always rounded. All metrics of a test need the same
            value.

    Attributes:
        info: A dict from the name of every measured or reported value to its :class:`MetricInfo`.
        per_image: Values of the last evaluation, in the order of the data set: for each image a
            dict of its ``key`` and the values of :meth:`measure`. Only the main process has this
            list.

    Raises:
        UserError: ``rounding`` is unknown.

    Examples:
        >>> import torch
        >>> from mmspd.evaluation import ImageMetric, MetricInfo
        >>> class Brightness(ImageMetric):
        ...     info = {'brightness': MetricInfo(higher_is_better=None, digits=1)}
        ...     def measure(self, sample):
        ...         return {'brightness': float(self.image(sample, 'pred_img').mean())}
        >>> metric = Brightness()
        >>> metric.process(None, [dict(output=dict(pred_img=torch.full((3, 4, 4), 99.7)))])
        >>> metric.evaluate(size=1)
        {'brightness': 100.0}
    """

    # MMEngine would warn about None. An empty prefix does not change the names.
    default_prefix = ''

    info: Mapping[str, MetricInfo] = {}
    #: Images of a sample that the metric needs. With ``report_input``, it also needs ``'input'``.
    needs: Tuple[str, ...] = ('pred_img', 'gt_img')

    def __init__(
        self,
        collect_device: str = 'cpu',
        prefix: Optional[str] = None,
        rounding: str = 'nearest',
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if rounding not in ROUNDINGS:
            raise UserError(
                f'{type(self).__name__} rounding={rounding!r} is unknown; use one of '
                f'{", ".join(ROUNDINGS)}.'
            )
        self.rounding = rounding
        self.per_image: List[Dict[str, Any]] = []

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Measure every image of a batch.

        Args:
            data_batch: Images of the data loader, to notice padding; ``None`` if they are unknown.
            data_samples: Predictions of the model, as dicts.

        Raises:
            UserError: :attr:`info` lacks a measured value, an image is missing or has the wrong
                size, or the model has padded the images.
        """
        _refuse_padding(data_batch, data_samples)
        for sample in data_samples:
            values = self.measure(sample)
            for name, value in values.items():
                if isinstance(value, Real) and name not in self.info:
                    raise UserError(
                        f"{type(self).__name__}.info lacks '{name}', which the metric measures; "
                        f"add '{name}': MetricInfo(higher_is_better=True), or False or None."
                    )
            self.results.append({'key': key_of(sample), **values})

    @abstractmethod
    def measure(self, sample: dict) -> Dict[str, Any]:
        """Measure one image.

        Args:
            sample: A data sample as a dict.

        Returns:
            A dict from the names in the report to the values.
        """

    def compute_metrics(self, results: List[Dict[str, Any]]) -> Dict[str, float]:
        """Store the values of the images and average them.

        Args:
            results: Values of each image.

        Returns:
            A dict from names to means.
        """
        self.per_image = results
        return self.average(results)

    def average(self, results: List[Dict[str, Any]]) -> Dict[str, float]:
        """Average each value over the images with :func:`finite_mean`.

        Args:
            results: Values of each image as in :attr:`per_image`, for at least one image.

        Returns:
            A dict from names to means.
        """
        names = [name for name in results[0] if name != 'key']
        return {name: finite_mean([result[name] for result in results]) for name in names}

    @staticmethod
    def warn(message: str) -> None:
        """Write a warning to the log of the run.

        Args:
            message: The warning.
        """
        print_log(message, 'current', logging.WARNING)

    def image(self, sample: dict, name: str) -> np.ndarray:
        """Return an image of a sample.

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
            raise UserError(
                f"The sample has no image '{name}' (it has {names}); remove the metric or use a "
                'model and a data set with this image.'
            )
        # the division by 255 and its reverse change whole numbers slightly, so they are rounded
        rounding = self.rounding if name == 'pred_img' else 'nearest'
        return to_uint8_rgb(image.detach().float().cpu().numpy(), rounding)

    def image_pair(self, sample: dict, name: str) -> Sequence[np.ndarray]:
        """Return an image and the sharp image of a sample.

        Args:
            sample: A data sample as a dict.
            name: ``'pred_img'`` or ``'input'``.

        Returns:
            The image and the sharp image, RGB, uint8, shape (H, W, 3).

        Raises:
            UserError: An image is missing, or the sizes differ.
        """
        image, sharp = self.image(sample, name), self.image(sample, 'gt_img')
        if image.shape != sharp.shape:
            raise UserError(
                f"'{name}' is {image.shape[1]}x{image.shape[0]} pixels, but the sharp image is "
                f'{sharp.shape[1]}x{sharp.shape[0]}; crop and resize both images in the same way.'
            )
        return image, sharp


def _refuse_padding(data_batch: Any, data_samples: Sequence[dict]) -> None:
    """Refuse images of different sizes that MMagic's data preprocessor has padded to one size."""
    inputs = data_batch.get('inputs', ()) if isinstance(data_batch, dict) else ()
    loaded = {tuple(img.shape[-2:]) for img in inputs if isinstance(img, torch.Tensor)}
    restored = [sample.get('output', {}).get('pred_img') for sample in data_samples]
    if len(loaded) > len({tuple(img.shape[-2:]) for img in restored if img is not None}) > 0:
        raise UserError(
            f'A batch has images of {len(loaded)} sizes, and the model has padded them; set '
            'batch_size=1 in val_dataloader and test_dataloader.'
        )


def finite_mean(values: Sequence[Optional[float]]) -> float:
    """Average the finite values.

    Args:
        values: The values. ``None`` stands for an unknown value.

    Returns:
        The mean. It is infinite if all known values are infinite, and NaN if no value is known.
    """
    known = [value for value in values if value is not None]
    finite = [value for value in known if not np.isinf(value)]
    return float(np.mean(finite or known)) if known else float('nan')


def key_of(sample: dict) -> str:
    """Return the name of an image in a report.

    Args:
        sample: A data sample as a dict.

    Returns:
        The key of the pair, or else the path of the file, or else an empty string.
    """
    return str(sample.get('key') or sample.get('img_path') or '')
