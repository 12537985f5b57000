"""Make ``mmcv.ops`` importable without compiled operators."""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Callable

__all__ = ['add_ext_placeholder']


def add_ext_placeholder() -> bool:
    """Make ``mmcv.ops`` importable with mmcv-lite, which has no compiled operators.

    Upstream fault: MMagic 1.2.0 imports ``mmcv.ops``, which imports ``mmcv._ext`` immediately. No
    deblurring model uses a compiled operator. The placeholder returns a function for every operator
    name. This function raises :class:`NotImplementedError` when it is called.

    Returns:
        True if the placeholder is installed. A compiled mmcv is never replaced.
    """
    name = 'mmcv._ext'
    if name in sys.modules:
        return isinstance(sys.modules[name], _MissingOps)
    if PathFinder.find_spec(name, sys.modules['mmcv'].__path__):
        return False
    sys.modules[name] = _MissingOps(name)
    return True


class _MissingOps(ModuleType):
    """Replaces ``mmcv._ext``: every function exists and raises an error when called."""

    def __init__(self, name: str) -> None:
        super().__init__(name, doc='Placeholder: this mmcv has no compiled operators.')
        # Set no loader, so that mmcv's check_ops_exist() still returns False.
        self.__spec__ = ModuleSpec(name, loader=None)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith('__'):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> None:
            raise NotImplementedError(
                f'The operator mmcv._ext.{name} is not in mmcv-lite; install the compiled mmcv '
                'that matches your PyTorch (pip uninstall mmcv-lite, then mim install mmcv).'
            )

        return missing
