"""Find names at the top of a config that have no effect."""

import difflib
import inspect
from typing import Any, Dict, Iterator, Optional, Set

from mmengine.config import Config

from mmspd.errors import UsageError

__all__ = ['check_names', 'check_options', 'runner_keys']

# Keys that MMEngine's Runner reads and that are not arguments of its constructor. Two such keys are
# missing on purpose: activation_checkpointing silently loses gradients, and compile compiles the
# whole training step, including the optimizer and the log.
_RUNNER_KEYS = (
    'custom_imports',
    'efficient_conv_bn_eval',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
)
# Other keys that mmspd reads.
_OWN_KEYS = ('compile', 'protocol')

_SIMILARITY = 0.88


def runner_keys() -> Set[str]:
    """Return the keys at the top of a config that the runner reads.

    Returns:
        The keys.

    Examples:
        >>> from mmspd.utils.config_names import runner_keys
        >>> 'optim_wrapper' in runner_keys(), 'max_epochs' in runner_keys()
        (True, False)
    """
    from mmengine.runner import Runner  # imported here, so that --help is fast

    return {*_RUNNER_KEYS, *inspect.signature(Runner).parameters} - {'cfg'}


def check_names(config: Config, path: str) -> None:
    """Check that no name at the top of a config is a misspelled key of the runner.

    Other names are variables, which are valid. A name that resembles a key is a variable too if
    another part of the config contains its value.

    Args:
        config: The config.
        path: File of the config, for the message.

    Raises:
        UsageError: A name resembles a key, and nothing reads it.

    Examples:
        >>> from mmengine.config import Config
        >>> from mmspd.errors import UsageError
        >>> from mmspd.utils.config_names import check_names
        >>> config = Config(dict(optim_wraper=dict(optimizer=dict(lr=1e-3)), max_epochs=3))
        >>> try:
        ...     check_names(config, 'unet.py')
        ... except UsageError as error:
        ...     print(error)
        unet.py has the key 'optim_wraper', which has no effect; rename it to 'optim_wrapper'.
    """
    known = runner_keys()
    for name in config:
        if name in known or name in _OWN_KEYS:
            continue
        close = _similar(name, known)
        if close is not None and not _is_copied(config, name):
            raise UsageError(
                f'{path} has the key {name!r}, which has no effect; rename it to {close!r}.'
            )


def check_options(config: Config, options: Dict[str, Any], path: str) -> None:
    """Check that no option changes a variable of a config.

    When the options are applied, other keys have already copied the value of the variable.

    Args:
        config: The config without the options.
        options: A dict from dotted keys to values.
        path: File of the config, for the message.

    Raises:
        UsageError: An option changes a variable. The message names the keys of the same name.
    """
    read = {*runner_keys(), *_OWN_KEYS}
    for key in options:
        name, dot, rest = key.partition('.')
        if name in read or name not in config:
            continue
        uses = [use + dot + rest for use in _keys_named(name, config) if use != name]
        hint = f', such as {" and ".join(uses)}' if uses else ''
        raise UsageError(
            f'--cfg-options {key} has no effect, because {name!r} is only a variable of {path}; '
            f'set the keys that use it{hint}.'
        )


def _similar(name: str, known: Set[str]) -> Optional[str]:
    """Return the key of which a name is a misspelling, or None."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=_SIMILARITY)
    return next((key for key in [*close, *sorted(known)] if key in close or _typo(name, key)), None)


def _typo(word: str, other: str) -> bool:
    """Return whether one letter is missing, added or wrong, or two letters are swapped."""
    pairs = enumerate(zip(word, other))
    start = next((i for i, (a, b) in pairs if a != b), min(len(word), len(other)))
    word, other = word[start:], other[start:]
    swapped = word[1::-1] + word[2:] == other
    return swapped or word[1:] == other or word == other[1:] or word[1:] == other[1:]


def _is_copied(config: Config, name: str) -> bool:
    """Return whether another part of a config contains the dict or list of a variable."""
    value = config[name]
    if not (isinstance(value, (dict, list)) and value):
        return False
    others = (config[key] for key in config if key != name)
    return any(value == part for other in others for part in _parts(other))


def _parts(value: Any) -> Iterator[Any]:
    """Yield a value and all values in it."""
    yield value
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _parts(part)


def _keys_named(name: str, config: Any, start: str = '') -> Iterator[str]:
    """Yield the dotted keys of a config whose last part is a name."""
    if isinstance(config, (list, tuple)):
        config = {str(number): part for number, part in enumerate(config)}
    if isinstance(config, (dict, Config)):
        for key, value in config.items():
            if key == name:
                yield start + key
            yield from _keys_named(name, value, f'{start}{key}.')
