"""The provenance of a test run: everything on which its numbers depend."""

import datetime
import hashlib
import importlib.metadata
import sys
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import torch
from mmengine.config import ConfigDict

from mmspd.errors import UserError
from mmspd.evaluation.metrics import ImageMetric, MetricInfo
from mmspd.utils.device import describe_machine
from mmspd.utils.model_wrapper import unwrap
from mmspd.version import __version__
from mmspd.weights.files import without_secrets

__all__ = [
    'FOLDERS',
    'describe_dataset',
    'make_image_provenance',
    'make_provenance',
    'metric_info_of',
    'rounding_of',
]

#: Type of a data set that is only known by its folders.
FOLDERS = 'folders'

_TF32 = 'float32 (convolutions in TF32 where the device has it)'

#: Packages that can change the numbers of any metric.
_PACKAGES = ('cv2', 'mmagic', 'mmengine', 'numpy')


def make_provenance(runner: Any, weights: Sequence[Dict[str, str]]) -> Dict[str, Any]:
    """Describe a finished test run.

    Args:
        runner: MMEngine's runner, with its test loop.
        weights: The weights files that the run has read, see
            :func:`~mmspd.weights.files.loaded_weights`.

    Returns:
        A dict of plain values for JSON. ``protocol`` is ``'custom'`` if the config has no protocol.

    Raises:
        UserError: The metrics convert the images to 8 bits in different ways.
    """
    config = runner.cfg
    model = unwrap(runner.model)
    device = next(model.parameters(), torch.empty(0)).device
    test_cfg = getattr(model, 'test_cfg', None) or {}
    source = runner._load_from and without_secrets(runner._load_from)
    return dict(
        _describe_measurement(
            config.get('protocol', 'custom'),
            ConfigDict(metrics=config.test_evaluator).to_dict()['metrics'],
            runner.test_loop.evaluator.metrics,
            device,
            weights,
        ),
        dataset=describe_dataset(runner.test_dataloader.dataset),
        self_ensemble=bool(test_cfg.get('self_ensemble')),
        tiling=test_cfg.get('tile'),
        window=test_cfg.get('window') or None,
        precision=_describe_precision(runner, test_cfg, device),
        checkpoint=dict(path=source, sha256=_digest_of(source, weights)),
        config=dict(path=config.filename, recipe=Path(config.filename or 'config').stem),
    )


def _digest_of(source: Optional[str], weights: Sequence[Dict[str, str]]) -> Optional[str]:
    """Return the SHA-256 of a checkpoint; for a folder, the SHA-256 of those of its files."""
    digests = {each['path']: each['sha256'] for each in weights}
    parts = [
        digests[path] for path in sorted(digests) if source and Path(path).parent == Path(source)
    ]
    if parts:
        return hashlib.sha256(''.join(parts).encode()).hexdigest()
    return digests.get(source or '')


def make_image_provenance(
    name: str,
    images: Dict[str, str],
    dataset: Dict[str, Any],
    protocol: str,
    evaluator: Dict[str, Any],
    metrics: Sequence[Any],
    weights: Sequence[Dict[str, str]],
) -> Dict[str, Any]:
    """Describe a measurement of finished images, whose model is unknown.

    Args:
        name: Name of the method.
        images: The ``path`` of the folder of the images, and the ``sha256`` of the images.
        dataset: Description of the sharp and blurry images.
        protocol: Name of the protocol.
        evaluator: Config of the evaluator.
        metrics: Metrics of the evaluator.
        weights: The weights files that the metrics have read.

    Returns:
        A dict of plain values for JSON, as of :func:`make_provenance`. The values of the model,
        such as ``checkpoint``, are None. ``finished`` is ``images``.
    """
    device = torch.device('cpu')
    return dict(
        _describe_measurement(protocol, evaluator, metrics, device, weights),
        dataset=dataset,
        self_ensemble=None,
        tiling=None,
        window=None,
        precision=None,
        checkpoint=None,
        finished=images,
        config=dict(path=None, recipe=name),
        pictures=images['path'],
    )


def _describe_measurement(
    protocol: str,
    evaluator: Dict[str, Any],
    metrics: Sequence[Any],
    device: torch.device,
    weights: Sequence[Dict[str, str]],
) -> Dict[str, Any]:
    """Describe the metrics, the weights files, the machine and the versions of the packages."""
    info = metric_info_of(metrics).values()
    packages = {*_PACKAGES, *(each.package for each in info if each.package)}
    return dict(
        protocol=protocol,
        metrics=evaluator,
        weights=[each for i, each in enumerate(weights) if each not in weights[:i]],
        rounding=rounding_of(metrics),
        color='RGB',
        machine=describe_machine(device),
        versions=dict(mmspd=__version__, **{name: _version_of(name) for name in sorted(packages)}),
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
    )


def describe_dataset(dataset: Any) -> Dict[str, Any]:
    """Describe a data set.

    Args:
        dataset: A data set.

    Returns:
        A dict with its class, number of images and options.
    """
    if hasattr(dataset, 'datasets'):  # a concatenated data set
        parts = [describe_dataset(part) for part in dataset.datasets]
        return dict(type=type(dataset).__name__, images=len(dataset), parts=parts)
    choices = dataset.choices() if hasattr(dataset, 'choices') else {}
    root = getattr(dataset, 'data_root', None)
    official = bool(getattr(dataset, 'is_official_set', False))
    return dict(
        type=type(dataset).__name__,
        images=len(dataset),
        is_official_set=official,
        **choices,
        root=root,
    )


def _describe_precision(runner: Any, test_cfg: Dict[str, Any], device: torch.device) -> str:
    """Return the precision in which the network computed."""
    # with tiles, the test loop's fp16 has no effect; only test_cfg sets the precision
    mixed = getattr(runner.test_loop, 'fp16', False) and not test_cfg.get('tile')
    looped = 'mixed' if mixed else 'float32'
    precision = test_cfg.get('precision') or looped
    if precision == 'tf32' or (precision == 'float32' and torch.backends.cudnn.allow_tf32):
        return 'float32' if device.type == 'cpu' else _TF32
    return precision


def metric_info_of(metrics: Sequence[Any]) -> Dict[str, MetricInfo]:
    """Collect the info of all image metrics.

    Args:
        metrics: Metrics of an evaluator.

    Returns:
        A dict from the name of each value to its :class:`MetricInfo`.
    """
    image_metrics = [metric for metric in metrics if isinstance(metric, ImageMetric)]
    return {name: info for metric in image_metrics for name, info in metric.info.items()}


def rounding_of(metrics: Sequence[Any]) -> str:
    """Return the ``rounding`` of the metrics, which is one for all.

    Args:
        metrics: Metrics of an evaluator.

    Returns:
        The name of the conversion to 8 bits.

    Raises:
        UserError: The metrics convert the images to 8 bits in different ways.
    """
    used = {m.rounding: type(m).__name__ for m in metrics if isinstance(m, ImageMetric)}
    if len(used) > 1:
        listed = ', '.join(f'{name}: {rounding}' for rounding, name in used.items())
        raise UserError(
            f'The metrics have different values of rounding ({listed}); use one protocol at a time '
            'or set the same rounding in all metrics.'
        )
    return next(iter(used), 'nearest')


def _version_of(package: str) -> Optional[str]:
    """Return the version of the package with an import name, or None if it is not installed."""
    version = getattr(sys.modules.get(package), '__version__', None)
    try:
        return version or importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
