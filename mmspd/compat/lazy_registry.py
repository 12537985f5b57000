"""A registry of MMagic that imports a component when its name is first used."""

import functools
import importlib.util
import re
from pathlib import Path
from typing import Any, Dict, Set

from mmengine.registry import Registry

from mmspd.compat.lazy_packages import load_whole
from mmspd.errors import UserError

__all__ = ['LazyRegistry']

#: ``@MODELS.register_module('Name')``, or ``@MODELS.register_module()`` and the next class.
_REGISTERED = re.compile(
    r'register_module\(\s*(?:name=)?(?:[\'"]([^\'"]+)[\'"])?[^()]*\)'
    r'(?=(?:\s*@[^\n]*)*\s*class (\w+))?'
)


class LazyRegistry(Registry):
    """A registry whose components are in the packages of MMagic that start empty."""

    @property
    def known_names(self) -> Set[str]:
        """The names of all components, imported or not."""
        return {*self.module_dict, *_modules(self._locations[0])}

    def get(self, key: str) -> Any:
        """Return the component with a name, as MMEngine's registry does.

        Args:
            key: The name, with or without a scope.

        Returns:
            The class, or None if there is none.

        Raises:
            UserError: The component is in a module of MMagic that cannot be imported.
        """
        scope, name = self.split_scope_key(key)
        own = scope in (None, self.scope)
        if own and name not in self._module_dict:
            self._import(name)
        found = super().get(key)
        if own and found is None and self._locations == ['mmagic.models']:
            self._import_diffusers(name)
            found = super().get(key)
        return found

    def _import(self, name: str) -> None:
        """Import the module that registers a name, if there is one."""
        module = _modules(self._locations[0]).get(name)
        if module is None:
            return
        try:
            importlib.import_module(module)
        except (ImportError, AttributeError, RuntimeError) as error:
            raise UserError(
                f'type=mmagic.{name}: {module} cannot be imported ({error}); install the versions '
                'of 2023 of the packages that this part of MMagic needs.'
            ) from error

    def _import_diffusers(self, name: str) -> None:
        """Register the models of the package diffusers, under their names in diffusers."""
        if importlib.util.find_spec('diffusers') is None:
            return
        try:
            load_whole(importlib.import_module('mmagic.models.archs'))
        except (ImportError, AttributeError, RuntimeError) as error:
            raise UserError(
                f'type=mmagic.{name} is not a component of MMagic itself, and its components from '
                f'diffusers cannot be imported ({error}); correct the name, or install the '
                'versions of 2023 of diffusers and transformers.'
            ) from error


@functools.cache
def _modules(location: str) -> Dict[str, str]:
    """Return the module of each registered name in a package, from the source of the package."""
    root = Path(str(importlib.import_module(location).__file__)).parent
    found = {}
    for path in sorted(root.rglob('*.py')):
        for match in _REGISTERED.finditer(path.read_text(encoding='utf-8')):
            name = match[1] or match[2]
            if name:
                parts = path.relative_to(root).with_suffix('').parts
                found[name] = '.'.join((location, *parts)).removesuffix('.__init__')
    return found
