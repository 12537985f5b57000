"""Packages that import a name when it is first used."""

import ast
import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, Tuple

from mmspd.compat.hooks import Load

__all__ = ['PACKAGES', 'load_whole', 'make_lazy']

#: Packages of MMagic that import every editor, transform and so on.
PACKAGES = (
    'mmagic.models',
    'mmagic.models.archs',
    'mmagic.models.data_preprocessors',
    'mmagic.models.editors',
    'mmagic.models.losses',
    'mmagic.datasets',
    'mmagic.datasets.transforms',
)


def make_lazy(module: ModuleType, load: Load) -> None:
    """Make an empty module a package that imports its names later.

    Args:
        module: The empty module.
        load: Executes the code of the package.
    """
    vars(module)['_load_whole'] = load
    module.__class__ = _LazyPackage


class _LazyPackage(ModuleType):
    """A package whose ``__init__.py`` has not been executed."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith('__'):
            if name in _imports(self.__name__):
                module, original = _imports(self.__name__)[name]
                return getattr(importlib.import_module(module), original)
            if importlib.util.find_spec(f'{self.__name__}.{name}'):
                return importlib.import_module(f'{self.__name__}.{name}')
        if name == '__all__' or not name.startswith('__'):
            load_whole(self)
            return getattr(self, name)
        raise AttributeError(f'The module {self.__name__} has no attribute {name!r}.')


def load_whole(package: ModuleType) -> None:
    """Execute the ``__init__.py`` of a package if this has not been done.

    Args:
        package: A package; if :func:`make_lazy` did not make it, nothing happens.
    """
    load = vars(package).pop('_load_whole', None)
    if load is None:
        return
    package.__class__ = ModuleType
    try:
        load(package)
    except BaseException:
        make_lazy(package, load)
        raise


@functools.cache
def _imports(package: str) -> Dict[str, Tuple[str, str]]:
    """Return the names that the source of a package imports, with module and name there."""
    path = Path(str(sys.modules[package].__file__))
    found = {}
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            module = f'{package}.{node.module}' if node.level else node.module
            for name in node.names:
                if name.name != '*':
                    found[name.asname or name.name] = (module, name.name)
                elif module in PACKAGES:
                    importlib.import_module(module)
                    found.update(_imports(module))
    return found
