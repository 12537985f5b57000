"""Turn an exception into the sentence and the exit code of a command."""

import ast
import builtins
import difflib
import importlib.util
import inspect
import re
import sys
import textwrap
import traceback
from types import FrameType
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple, Type

from mmengine.config import Config

from mmspd.errors import UsageError, UserError
from mmspd.utils.system_failures import system_failure

__all__ = ['Failure', 'failure_of', 'sentence_of']

#: The frames of a traceback, and the text between the tracebacks of chained exceptions.
_TRACEBACK = re.compile(r'Traceback \(most recent call last\):\n(?: .*\n)*')
_CHAINED = re.compile(
    r'\n\n(?:During handling of the above exception, another exception occurred|'
    r'The above exception was the direct cause of the following exception):\n\n(?=Traceback)'
)
# Some versions of MMEngine add the class that is being built to the start of a message.
_BUILDING = re.compile(r'^(?:class `\w+` in \S+\.py: )+')
_UNKNOWN_ARGUMENT = re.compile(
    r"(\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'"
)
#: These exceptions are faults of the code, even when a component is built from a config.
_BUGS = (NameError, ImportError, NotImplementedError, SyntaxError, MemoryError, OSError)
#: Functions of MMEngine that change a built model as the config says, before the training starts.
_PREPARATIONS = ('_init_model_weights', 'turn_on_efficient_conv_bn_eval')
#: Names on PyPI of packages that are imported by another name.
_PYPI = {
    'PIL': 'pillow',
    'cv2': 'opencv-python-headless',
    'pillow_heif': 'pillow-heif',
    'skimage': 'scikit-image',
    'sklearn': 'scikit-learn',
    'yaml': 'pyyaml',
}
_LONGEST_REASON = 300  # characters


class Failure(NamedTuple):
    """The end of a command.

    Attributes:
        sentence: The message for the user.
        code: The exit code: 2 for a wrong argument or config, 1 for other errors.
    """

    sentence: str
    code: int


def failure_of(error: BaseException) -> Optional[Failure]:
    """Describe an error that the user can fix.

    Args:
        error: An exception with its traceback. A DataLoader worker may have raised it.

    Returns:
        The sentence and the exit code, or ``None`` if the error is a bug.
    """
    kind, text = _original(error)
    part = _Part.of(error)
    if issubclass(kind, UserError):
        wrong = issubclass(kind, UsageError) or (part is not None and _builds(part.frame))
        return Failure(text, 2 if wrong else 1)
    package = _missing_package(error, text)
    if package is not None:
        return Failure(f'The package {package} is not installed; run pip install {package}.', 1)
    sentence = system_failure(error)
    if sentence is not None:
        return Failure(sentence, 1)
    sentence = _unknown_name(text, part) if issubclass(kind, KeyError) else None
    if sentence is None and part is not None and not issubclass(kind, _BUGS):
        sentence = _cannot_build(part, kind, text)
    return None if sentence is None else Failure(sentence, 2)


def sentence_of(error: BaseException) -> str:
    """Return the message of an error without the additions of PyTorch and MMEngine.

    Args:
        error: Error that a DataLoader worker or a registry may have wrapped.

    Returns:
        The message in one line.

    Examples:
        >>> from mmspd.errors import UserError
        >>> from mmspd.utils.failures import sentence_of
        >>> error = UserError("class `UNet` in mmspd/unet.py: base must be 1 or more; change it.")
        >>> sentence_of(error)
        'base must be 1 or more; change it.'
    """
    return _original(error)[1]


def _original(error: BaseException) -> Tuple[Type[BaseException], str]:
    """Return the type and the message of an error, also of one that a worker has raised.

    PyTorch raises the errors of DataLoader workers again, with the traceback of the worker as the
    message. If it cannot construct the type of the error, it raises a RuntimeError.
    """
    kind: Type[BaseException] = type(error)
    # str(KeyError) has quotes
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    while re.match(r'Caught \w+ in ', text) and '\nOriginal Traceback' in text:
        last = _CHAINED.split(text.split('\nOriginal ', 1)[1])[-1]
        name, _, text = _TRACEBACK.sub('', last, count=1).partition(': ')
        kind = _class_of(name.strip()) or kind
        if issubclass(kind, KeyError):
            text = _without_quotes(text.strip())
    return kind, ' '.join(_BUILDING.sub('', text).split())


def _class_of(name: str) -> Optional[Type[BaseException]]:
    """Return the exception class of a qualified name, such as ``mmspd.errors.UserError``."""
    module, _, short = name.rpartition('.')
    found = getattr(sys.modules.get(module) if module else builtins, short, None)
    return found if inspect.isclass(found) and issubclass(found, BaseException) else None


def _without_quotes(text: str) -> str:
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return text


def _missing_package(error: BaseException, text: str) -> Optional[str]:
    """Return the name on PyPI of an optional package that is not installed."""
    told = re.search(r'pip install (?:-U )?([\w.-]+)', text)
    if isinstance(error, ImportError) and told:  # MMEngine's own messages
        return told[1]
    cause: Optional[BaseException] = error
    while cause is not None:
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            package = cause.name.partition('.')[0]
            if package != 'mmspd' and importlib.util.find_spec(package) is None:
                return _PYPI.get(package, package)
        cause = cause.__cause__ or cause.__context__
    return None


class _Part(NamedTuple):
    """The component of a config that was being built when an error was raised.

    Attributes:
        value: The config of the component; it should be a dict, but may be a wrong value.
        argument: Name of the argument with the value in MMEngine's function.
        frame: The call of MMEngine's function that builds the component.
        config: The whole config, if it is known.
    """

    value: Any
    argument: str
    frame: FrameType
    config: Optional[Config]

    @classmethod
    def of(cls, error: BaseException) -> Optional['_Part']:
        """Find the innermost component in the traceback of an error."""
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        building = [frame for frame in frames if _builds(frame) or _prepares(frame)]
        if not building:
            return None
        frame = building[-1]
        names = frame.f_code.co_varnames[: frame.f_code.co_argcount]
        argument = next((name for name in names if name != 'self'), 'model')
        values = [value for each in frames for value in each.f_locals.values()]
        config = next((value for value in values if isinstance(value, Config)), None)
        return cls(frame.f_locals.get(argument), argument, frame, config)

    @property
    def type(self) -> str:
        """Name of the component's class, or of the argument if there is no class."""
        kind = self.value.get('type') if isinstance(self.value, dict) else None
        return getattr(kind, '__name__', str(kind)) if kind is not None else self.argument

    @property
    def keys(self) -> List[str]:
        """Dotted keys of the component in the whole config."""
        if self.config is None or not isinstance(self.value, dict):
            return []
        return [key for key, value in _walk(self.config) if value == self.value]

    @property
    def title(self) -> str:
        """The class of the component and its keys."""
        return f'{self.type} ({" and ".join(self.keys[:2])})' if self.keys else self.type

    @property
    def built_class(self) -> Any:
        """The class of the component, if it has been found."""
        return self.frame.f_locals.get('obj_cls')


def _builds(frame: FrameType) -> bool:
    """Return whether a frame is a call of a function of MMEngine that builds from a config."""
    module = frame.f_globals.get('__name__', '')
    return module.startswith('mmengine.') and frame.f_code.co_name.startswith('build_')


def _prepares(frame: FrameType) -> bool:
    """Return whether a frame is a call of a function of MMEngine that completes a built model."""
    module = frame.f_globals.get('__name__', '')
    return module.startswith('mmengine.') and frame.f_code.co_name in _PREPARATIONS


def _walk(value: Any, prefix: str = '') -> Iterator[Tuple[str, Any]]:
    """Yield the dotted key and the value of each dict in a config."""
    is_dict = isinstance(value, (dict, Config))
    items: Any = value.items() if is_dict else enumerate(value)
    for key, each in items:
        if isinstance(each, dict):
            yield f'{prefix}{key}', each
        if isinstance(each, (dict, list, tuple)):
            yield from _walk(each, f'{prefix}{key}.')


def _cannot_build(part: _Part, kind: Type[BaseException], text: str) -> str:
    """Return the message for a component that cannot be built from its config."""
    if 'must contain the key "type"' in text:
        return _without_type(part)
    unknown = _UNKNOWN_ARGUMENT.search(text)
    if unknown is not None:
        owner = part.built_class or part.frame.f_globals.get(unknown[1])
        if inspect.isclass(owner):
            return _unknown_argument(part, owner, unknown[2])
    reason = textwrap.shorten(f'{kind.__name__}: {text}', _LONGEST_REASON)
    if isinstance(part.value, Config):
        return f'The config {part.value.filename} cannot be used ({reason}); correct its values.'
    found = part.value if isinstance(part.value, dict) else {part.argument: part.value}
    values = ', '.join(
        f'{key}={value!r}'
        for key, value in found.items()
        if isinstance(value, (str, int, float, bool)) and key != 'type'
    )
    values = f' with {textwrap.shorten(values, _LONGEST_REASON)}' if values else ''
    return f'{part.title} cannot be built{values} ({reason}); correct its values in the config.'


def _without_type(part: _Part) -> str:
    key = part.keys[0] if part.keys else part.argument
    parent, _, name = key.rpartition('.')
    siblings = _at(part.config, parent) if part.config is not None else {}
    others = [other for other in siblings if other != name] if isinstance(siblings, dict) else []
    hint = _similar(name, others)
    return f"{key} has no 'type'; check the spelling of {name}{hint}, or set {key}.type."


def _at(config: Config, key: str) -> Any:
    value: Any = config._cfg_dict
    for name in filter(None, key.split('.')):
        value = value[int(name) if isinstance(value, (list, tuple)) else name]
    return value


def _unknown_argument(part: _Part, owner: type, name: str) -> str:
    """Return the message for a misspelled config key."""
    known: Dict[str, None] = {}
    for each in owner.__mro__:
        parameters = inspect.signature(each.__init__).parameters  # type: ignore[misc]
        known.update(dict.fromkeys(set(parameters) - {'self', 'args', 'kwargs'}))
    place = f' ({" and ".join(part.keys[:2])})' if part.keys else ''
    hint = _similar(name, sorted(known))
    return (
        f'{owner.__name__}{place} has no argument {name!r}{hint}; check its spelling in the config.'
    )


def _similar(name: str, known: List[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    return f' (similar names: {", ".join(close)})' if close else ''


def _unknown_name(text: str, part: Optional[_Part]) -> Optional[str]:
    """Return the message for an unknown name, with similar names, from the error of a registry."""
    match = re.match(r'(\S+) is not in the \S+::(.+?) registry\.', text)
    if match is None:
        return None
    name, kind = match.groups()

    def similarity(known: str) -> float:
        # ignore the scope and the case, so that typos in them do not hide a similar name
        first, second = (full.rpartition('.')[2].lower() for full in (known, name))
        return difflib.SequenceMatcher(None, first, second).ratio()

    closest = sorted(_registered_names(kind), key=similarity, reverse=True)[:3]
    place = f'key: {part.keys[0]}.type; ' if part is not None and part.keys else ''
    return (
        f"There is no {kind} named '{name}'; check its spelling in the config ({place}similar "
        f'names: {", ".join(closest)}).'
    )


def _registered_names(kind: str) -> List[str]:
    """Return all registered names of a kind (such as 'model' or 'hook') with their scopes."""
    from mmengine.registry import Registry, root

    def family(registry: Registry) -> List[Registry]:
        return sum(map(family, registry.children.values()), [registry])

    # registries of one kind have different names in MMEngine and in other projects, for example
    # 'optim_wrapper' and 'optimizer_wrapper'
    families = [family(item) for item in vars(root).values() if isinstance(item, Registry)]
    return [
        name if registry.scope == 'mmengine' else f'{registry.scope}.{name}'
        for members in families
        if kind in {registry.name for registry in members}
        for registry in members
        # MMagic's registries import a component when it is used
        for name in getattr(registry, 'known_names', registry.module_dict)
    ]
