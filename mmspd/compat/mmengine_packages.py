"""Let MMEngine find installed packages without ``pkg_resources``."""

import importlib.util
import os
import sys
from importlib import metadata
from typing import Any

__all__ = ['add_mmspd', 'repair']


def add_mmspd(module: Any) -> None:
    """Let MMEngine find the configs of mmspd, as in ``get_config('mmspd::spd/unet_gopro.py')``.

    MMEngine 0.10.7 knows only OpenMMLab's own packages.

    Args:
        module: ``mmengine.config.utils``.
    """
    module.MODULE2PACKAGE.setdefault('mmspd', 'mmspd')


def repair(module: Any) -> None:
    """Repair ``mmengine.utils.package_utils``.

    Upstream fault: MMEngine 0.10.7 uses ``pkg_resources``, which warns that it is deprecated and is
    missing from setuptools 82. MMEngine needs these functions for configs such as
    ``mmspd::spd/unet_gopro.py``.

    Args:
        module: The module.
    """
    for repaired in (is_installed, get_installed_path, package2module):
        original = getattr(module, repaired.__name__)
        for name, other in [*sys.modules.items()]:  # some have imported the function already
            if name.startswith('mmengine') and vars(other).get(repaired.__name__) is original:
                setattr(other, repaired.__name__, repaired)


def is_installed(package: str) -> bool:
    """Return whether a distribution or an importable package has this name."""
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        spec = importlib.util.find_spec(package)
        return spec is not None and spec.origin is not None
    return True


def get_installed_path(package: str) -> str:
    """Return the folder of the package of a distribution, such as ``mmcv`` of ``mmcv-lite``.

    Raises:
        PackageNotFoundError: There is no such package.
    """
    spec = importlib.util.find_spec(package)
    if spec is None:
        spec = importlib.util.find_spec(package2module(package))
    if spec is None or spec.origin is None:
        raise metadata.PackageNotFoundError(package)
    return os.path.dirname(spec.origin)


def package2module(package: str) -> str:
    """Return the name under which the package of a distribution is imported.

    Raises:
        PackageNotFoundError: There is no such distribution.
        ValueError: The distribution does not state the name.
    """
    names = metadata.distribution(package).read_text('top_level.txt')
    if not names:
        raise ValueError(f'The distribution {package} does not state the name of its package.')
    return names.split()[0]
