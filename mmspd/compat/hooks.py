"""Run functions when modules are imported."""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable, Dict, Optional

__all__ = ['after_import', 'before_import', 'replace_import']

#: Executes the code of a module.
Load = Callable[[ModuleType], Any]
_replaced: Dict[str, Callable[[ModuleType, Load], Any]] = {}


def replace_import(name: str, function: Callable[[ModuleType, Load], Any]) -> None:
    """Let a function execute a module. A module that is imported already does not change.

    Args:
        name: Name of the module.
        function: It is called with the empty module and the function that executes its code.
    """
    _replaced[name] = function
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def before_import(name: str, function: Callable[[], Any]) -> None:
    """Call a function just before a module is imported.

    Args:
        name: Name of the module. If it is imported already, the function is not called.
        function: It is called without arguments.
    """

    def load_repaired(module: ModuleType, load: Load) -> None:
        function()
        load(module)

    replace_import(name, load_repaired)


def after_import(name: str, function: Callable[[Any], Any]) -> None:
    """Call a function with a module, just after the module is imported.

    Args:
        name: Name of the module. If it is imported already, the function is called immediately.
        function: It is called with the module.
    """

    def load_repaired(module: ModuleType, load: Load) -> None:
        load(module)
        function(module)

    replace_import(name, load_repaired)
    if name in sys.modules:
        function(sys.modules[name])


class _Finder(MetaPathFinder):
    """Finds modules as the other finders do, but lets a function execute them."""

    def find_spec(
        self, fullname: str, path: Any, target: Optional[ModuleType] = None
    ) -> Optional[ModuleSpec]:
        replaced = _replaced.get(fullname)
        if replaced is None:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module
            loader: Any = spec.loader
            loader.exec_module = lambda module: replaced(module, load)
        return spec
