"""Repairs that let the OpenMMLab packages run with current PyTorch and NumPy.

MMagic's last release is 1.2.0 (January 2024); MMEngine's last release is 0.10.7. Each repair names
the upstream fault and is applied only where the fault exists. Older or fixed versions are not
modified. :func:`apply` runs when ``mmspd`` is imported.
"""

import ast
import importlib.util
import os
import re
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict, Optional, Union

from mmspd.errors import UsageError

__all__ = [
    'add_mmcv_ext_placeholder',
    'apply',
    'keep_values_of_variables',
    'let_nafnet_compile',
    'restore_numpy_bool8',
    'write_whole_configs',
]

_NAFNET_NORM = 'mmagic.models.editors.nafnet.naf_layerNorm2d'


def apply() -> None:
    """Apply every repair that this installation needs; repeated calls have no effect."""
    add_mmcv_ext_placeholder()
    restore_numpy_bool8()
    let_nafnet_compile()
    keep_values_of_variables()
    write_whole_configs()


def add_mmcv_ext_placeholder() -> bool:
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
    # Read only the spec of the package, because `import mmcv` would also import OpenCV.
    package = importlib.util.find_spec('mmcv')
    if package is None or PathFinder.find_spec(name, package.submodule_search_locations):
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


def restore_numpy_bool8() -> None:
    """Restore the alias ``numpy.bool8``.

    Upstream fault: MMagic 1.2.0 reads the alias during its import (utils/trans_utils.py), but
    NumPy 2.0 removed it.
    """
    import numpy as np

    # Do not use hasattr: on NumPy 1.24 to 1.26 it triggers the alias's deprecation warning.
    if int(np.__version__.split('.')[0]) >= 2 and 'bool8' not in vars(np):
        np.bool8 = np.bool_  # type: ignore[attr-defined]


def write_whole_configs() -> None:
    """Let MMEngine write a config file completely or not at all.

    Upstream fault: MMEngine 0.10.7 empties the file before it formats the config, which may take
    seconds. If the process is stopped in these seconds, the file stays empty.
    """
    from mmengine.config import Config

    from mmspd.utils.files import atomic_path

    original = Config.dump
    if original.__module__ == __name__:  # already repaired
        return

    def dump(self: Config, file: Union[str, Path, None] = None) -> Any:
        if file is None:
            return original(self)
        with atomic_path(file) as temporary:
            original(self, temporary)

    Config.dump = dump


def let_nafnet_compile() -> None:
    """Let ``torch.compile(fullgraph=True)`` trace MMagic's NAFNet.

    Upstream fault: ``LayerNorm2d`` of MMagic 1.2.0 (and of the official NAFNet) is an autograd
    function that reads ``ctx.saved_variables``. This breaks the graph at every block. The repair
    computes the same formula with plain tensor operations during tracing. Eager execution still
    runs the original function. The repair is applied immediately if NAFNet has been imported, and
    otherwise when NAFNet is imported.
    """
    if _NAFNET_NORM in sys.modules:
        _make_traceable(sys.modules[_NAFNET_NORM])
    elif not any(isinstance(finder, _NAFNetFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _NAFNetFinder())


class _NAFNetFinder(MetaPathFinder):
    """An import hook that repairs MMagic's ``LayerNorm2d`` when its module is imported."""

    def find_spec(
        self, fullname: str, path: Any, target: Optional[ModuleType] = None
    ) -> Optional[ModuleSpec]:
        spec = PathFinder.find_spec(fullname, path) if fullname == _NAFNET_NORM else None
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_repair(module: ModuleType) -> None:
                load(module)
                _make_traceable(module)

            spec.loader.exec_module = load_and_repair  # type: ignore[method-assign]
        return spec


def _make_traceable(module: Any) -> None:
    """Let ``LayerNorm2d`` use plain tensor operations while ``torch.compile`` traces it."""
    import torch

    original = module.LayerNorm2d.forward
    if original.__module__ == __name__:  # already repaired
        return
    is_compiling = getattr(torch.compiler, 'is_compiling', lambda: False)  # torch 2.1 lacks it

    def forward(self: Any, x: Any) -> Any:
        if not is_compiling():
            return original(self, x)
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        normed = (x - mean) / (variance + self.eps).sqrt()
        return self.weight.view(1, -1, 1, 1) * normed + self.bias.view(1, -1, 1, 1)

    module.LayerNorm2d.forward = forward


#: Characters that have the same meaning in the text of a config and in a value.
_UNCHANGED = re.compile(r'[\w ./:@+,-]*')
_VARIABLE = re.compile(r'\{\{(["\']?)\s*\$(\w+)\s*:\s*(\S*?)\s*["\']?\}\}')
#: The start of a line, up to an unfinished raw string, which cannot contain escaped characters.
_IN_RAW_STRING = re.compile(r'(?i).*\b(?:r[bf]?|[bf]r)(["\'])(?:(?!\1).)*')


def keep_values_of_variables() -> None:
    """Let the variables in configs keep their values.

    Upstream fault: MMEngine 0.10.7 copies the value of ``{{$NAME:default}}``, and of
    ``{{fileBasename}}`` and so on, into the source of the config. A quote, a backslash or a line
    break in a value then changes the source, or runs as code. MMEngine also reports an empty
    variable as one that is not set. This repair writes the value with Python's escape sequences.
    """
    from mmengine.config import Config

    Config._substitute_env_variables = staticmethod(_substitute_env_variables)
    Config._substitute_predefined_vars = staticmethod(_substitute_file_names)


def _substitute_env_variables(source: str, target: str) -> Dict[str, str]:
    """Replace ``{{$NAME:default}}`` in a config by the environment variable or the default.

    Args:
        source: The config to read.
        target: The config to write.

    Returns:
        A dict from the name of each used variable to its value.

    Raises:
        UsageError: A variable is empty, is not set and has no default, or has a value that cannot
            be written at this place.
    """
    from mmengine.logging import print_log

    used: Dict[str, str] = {}

    def value_of(match: 're.Match[str]') -> str:
        quote, name, default = match.groups()
        value = os.environ.get(name)
        if value is None and default:
            return default
        if not value:
            state = 'is not set' if value is None else 'is empty'
            other = ', or unset it to use its default' if default else ''
            raise UsageError(f'The environment variable {name} {state}; set it to a value{other}.')
        used[name] = value
        print_log(f'The config uses {name}={value!r} from the environment.', 'current')
        return _literal(value, name) if quote else _escaped(value, match, target, name)

    _substitute(source, target, _VARIABLE, value_of)
    return used


def _substitute_file_names(source: str, target: str) -> None:
    """Replace ``{{fileBasename}}`` and the other names of the config file in a config."""
    path = Path(source)
    names = dict(
        fileDirname=os.path.dirname(source),
        fileBasename=path.name,
        fileBasenameNoExtension=path.stem,
        fileExtname=path.suffix,
    )

    def value_of(match: 're.Match[str]') -> str:
        return _escaped(names[match[1]].replace(os.sep, '/'), match, target, match[1])

    _substitute(source, target, re.compile(rf'\{{\{{\s*({"|".join(names)})\s*\}}\}}'), value_of)


def _substitute(
    source: str, target: str, pattern: 're.Pattern[str]', value_of: Callable[[Any], str]
) -> None:
    text = Path(source).read_text(encoding='utf-8')
    Path(target).write_text(pattern.sub(value_of, text), encoding='utf-8')


def _literal(value: str, name: str) -> str:
    """Return the value of ``{{'$NAME:80'}}``, which is outside of a string, such as a number."""
    try:
        ast.literal_eval(value)
        known = not set(value) & set('"\'\\\n')
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        known = False
    if known:
        return value
    raise UsageError(
        f'The environment variable {name} is {value!r}, but the config needs a number, True, False '
        f'or None; correct {name}.'
    )


def _escaped(value: str, match: 're.Match[str]', target: str, name: str) -> str:
    """Return a value as a part of a string in the source of a config."""
    if _UNCHANGED.fullmatch(value):
        return value
    line = match.string[match.string.rfind('\n', 0, match.start()) + 1 : match.start()]
    if not target.endswith('.py') or _IN_RAW_STRING.fullmatch(line):
        raise UsageError(
            f'The value of {name}, {value!r}, cannot be written into this config; change the '
            f'value, or use {name} in a normal string of a Python config.'
        )
    return ''.join(char if _UNCHANGED.fullmatch(char) else f'\\U{ord(char):08x}' for char in value)
