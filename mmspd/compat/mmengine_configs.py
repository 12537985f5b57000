"""Repair how MMEngine reads and writes configs."""

import ast
import os
import re
from pathlib import Path
from typing import Any, Callable, Dict, Union

from mmspd.errors import UsageError
from mmspd.utils.files import atomic_path
from mmspd.utils.package_files import package_file

__all__ = ['repair']


def repair(module: Any) -> None:
    """Repair ``mmengine.config.config``.

    Args:
        module: The module.
    """
    if module.Config.dump.__module__ != __name__:
        _write_whole_files(module.Config)
        _keep_values_of_variables(module.Config)
        _find_configs_of_mmspd(module.Config)


def _write_whole_files(config: Any) -> None:
    """Let MMEngine write a config file completely or not at all.

    Upstream fault: MMEngine 0.10.7 empties the file before it formats the config, which may take
    seconds. If the process is stopped in these seconds, the file stays empty.
    """
    original = config.dump

    def dump(self: Any, file: Union[str, Path, None] = None) -> Any:
        if file is None:
            return original(self)
        with atomic_path(file) as temporary:
            original(self, temporary)

    config.dump = dump


def _find_configs_of_mmspd(config: Any) -> None:
    """Let ``Config.fromfile`` read ``mmspd::spd/unet_gopro.py``.

    MMEngine 0.10.7 reads such names in ``_base_`` only.
    """
    original = config.fromfile

    def fromfile(filename: Union[str, Path], *args: Any, **kwargs: Any) -> Any:
        scope, separator, name = str(filename).partition('::')
        if separator and scope == 'mmspd':
            filename = package_file('configs', name)
        return original(filename, *args, **kwargs)

    config.fromfile = staticmethod(fromfile)


#: Characters that have the same meaning in the text of a config and in a value.
_UNCHANGED = re.compile(r'[\w ./:@+,-]*')
_VARIABLE = re.compile(r'\{\{(["\']?)\s*\$(\w+)\s*:\s*(\S*?)\s*["\']?\}\}')
#: The start of a line, up to an unfinished raw string, which cannot contain escaped characters.
_IN_RAW_STRING = re.compile(r'(?i).*\b(?:r[bf]?|[bf]r)(["\'])(?:(?!\1).)*')


def _keep_values_of_variables(config: Any) -> None:
    """Let the variables in configs keep their values.

    Upstream fault: MMEngine 0.10.7 copies the value of ``{{$NAME:default}}``, and of
    ``{{fileBasename}}`` and so on, into the source of the config. A quote, a backslash or a line
    break in a value then changes the source, or runs as code. MMEngine also reports an empty
    variable as one that is not set. This repair writes the value with Python's escape sequences.
    """
    config._substitute_env_variables = staticmethod(_substitute_env_variables)
    config._substitute_predefined_vars = staticmethod(_substitute_file_names)


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
