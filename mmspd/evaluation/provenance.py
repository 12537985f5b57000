"""What the numbers of a test run depend on."""

import datetime
import hashlib
import importlib.metadata
import platform
from pathlib import Path
from typing import Any, Dict, Optional

import torch
from mmengine.config import ConfigDict

from mmspd.errors import UserError
from mmspd.utils.model_wrapper import unwrap
from mmspd.version import __version__

__all__ = ['make_provenance']

#: Packages whose version can move a number, by the names of their distributions.
_PACKAGES = {
    'numpy': ('numpy',),
    'cv2': ('opencv-python-headless', 'opencv-python', 'opencv-contrib-python'),
    'skimage': ('scikit-image',),
    'lpips': ('lpips',),
    'mmengine': ('mmengine',),
    'mmagic': ('mmagic',),
}


def make_provenance(runner: Any) -> Dict[str, Any]:
    """Describe a test run that has ended.

    Args:
        runner: MMEngine's, with its test loop built.

    Returns:
        Plain values for JSON; ``protocol`` is ``'custom'`` where the config names none.
    """
    config = runner.cfg
    model = unwrap(runner.model)
    test_cfg = getattr(model, 'test_cfg', None) or {}
    return dict(
        protocol=config.get('protocol', 'custom'),
        dataset=_describe_dataset(runner.test_dataloader.dataset),
        metrics=ConfigDict(metrics=config.test_evaluator).to_dict()['metrics'],
        rounding='uint8',
        color='RGB',
        self_ensemble=bool(test_cfg.get('self_ensemble')),
        tiling=test_cfg.get('tile'),
        precision=_describe_precision(runner, test_cfg, model),
        checkpoint=dict(path=runner._load_from, sha256=_hash(runner._load_from)),
        config=dict(path=config.filename, recipe=Path(config.filename or 'config').stem),
        device=_describe_device(model),
        versions=_versions(),
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
    )


def _describe_dataset(dataset: Any) -> Dict[str, Any]:
    """Name a data set, its choices and how many images it has."""
    if hasattr(dataset, 'datasets'):  # joined ones
        parts = [_describe_dataset(part) for part in dataset.datasets]
        return dict(type=type(dataset).__name__, images=len(dataset), parts=parts)
    choices = {}
    if hasattr(dataset, 'choices'):
        try:
            choices = dataset.choices()
        except UserError:  # a class of the user's own that has none is told by its own words
            choices = dict(description=dataset.describe())
    root = getattr(dataset, 'data_root', None)
    return dict(type=type(dataset).__name__, images=len(dataset), **choices, root=root)


def _describe_precision(runner: Any, test_cfg: Dict[str, Any], model: torch.nn.Module) -> str:
    """Name what the network computed in."""
    # tiles are restored in what test_cfg says alone
    mixed = getattr(runner.test_loop, 'fp16', False) and not test_cfg.get('tile')
    looped = 'mixed' if mixed else 'float32'
    precision = test_cfg.get('precision') or looped
    on_cuda = next(model.parameters(), torch.empty(0)).is_cuda
    if precision == 'float32' and on_cuda and torch.backends.cudnn.allow_tf32:
        return 'float32 (convolutions in TF32 where the device has it)'
    return precision


def _hash(path: Optional[str]) -> Optional[str]:
    """Return the SHA-256 of a local file, in hexadecimal digits."""
    if path is None or not Path(path).is_file():
        return None
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def _describe_device(model: torch.nn.Module) -> str:
    """Name what the network ran on."""
    device = next(model.parameters(), torch.empty(0)).device
    if device.type == 'cpu' or not torch.cuda.is_available():
        return device.type
    return f'{device.type} ({torch.cuda.get_device_name(device)})'


def _versions() -> Dict[str, Optional[str]]:
    """Return the versions of the packages, ``None`` for one that is not there."""
    found: Dict[str, Optional[str]] = dict(
        mmspd=__version__, python=platform.python_version(), torch=torch.__version__
    )
    found.update(dict.fromkeys(_PACKAGES))
    for package, distributions in _PACKAGES.items():
        for name in distributions:
            try:
                found[package] = importlib.metadata.version(name)
                break
            except importlib.metadata.PackageNotFoundError:
                continue
    return found
