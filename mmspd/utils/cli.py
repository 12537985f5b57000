"""Helpers of the command-line tools: user errors as one sentence, and argument types."""

import argparse
import difflib
import errno
import io
import re
import signal
import sys
from typing import Any, Callable, List, Optional, Tuple, Union

from mmspd.errors import UserError

__all__ = [
    'add_inferencer_arguments',
    'add_pair_templates',
    'at_least_one',
    'positive',
    'run_main',
    'sentence_of',
    'size_argument',
    'tile_argument',
]

# The message of a DataLoader worker's error contains the traceback of the worker.
_WORKER = re.compile(r'^Caught \w+ in .*?Traceback \(most recent call last\)', re.DOTALL)
# Some versions of MMEngine add the class that is being built to the start of a message.
_BUILDING = re.compile(r'^(?:class `\w+` in \S+\.py: )+')


def run_main(main: Callable[..., Any], argv: Optional[List[str]] = None) -> None:
    """Run the ``main(argv)`` of a command and exit with its exit code.

    A user error is printed as ``error: <sentence>`` on stderr, and the exit code is 1. User errors
    are a :class:`~mmspd.errors.UserError`, an unknown name or key in a config, and a full disk.
    Ctrl-C is reported in the same form with exit code 130. Any other exception is a bug and keeps
    its traceback.

    Args:
        main: Function that takes the list of arguments and returns the exit code, or ``None`` for
            exit code 0.
        argv: Arguments; by default those of the process.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names need not be valid Unicode
        sys.stdout.reconfigure(errors='backslashreplace')
    try:
        code = main(sys.argv[1:] if argv is None else argv)
    except Exception as error:
        sentence = _sentence_for(error)
        if sentence is None:
            raise
        print(f'error: {sentence}', file=sys.stderr, flush=True)
        code = 1
    except KeyboardInterrupt:
        print('\nerror: Interrupted by the user.', file=sys.stderr, flush=True)
        code = 128 + signal.SIGINT  # the convention of shells
    sys.exit(code or 0)


def _sentence_for(error: Exception) -> Optional[str]:
    """Return the message for a user error, or ``None`` for a bug."""
    if isinstance(error, UserError):
        return sentence_of(error)
    if isinstance(error, TypeError):
        return _unknown_argument(error)
    if isinstance(error, KeyError):
        return _unknown_name(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f' for {error.filename}' if error.filename else ''
        return f'No space is left on the disk{where}; free some space and continue with --resume.'
    return None


def _unknown_argument(error: TypeError) -> Optional[str]:
    """Return the message for a misspelled config key, from the error of a constructor."""
    pattern = r"(?:.*: )?([\w.]+?)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'"
    match = re.match(pattern, str(error))
    if match is None:
        return None
    return f'{match[1]} has no argument {match[2]!r}; check its spelling in the config.'


def sentence_of(error: UserError) -> str:
    """Return the message of an error without the additions of PyTorch and MMEngine.

    Args:
        error: Error that a DataLoader worker or a registry may have wrapped.

    Returns:
        The message in one line.

    Examples:
        >>> from mmspd.errors import UserError
        >>> from mmspd.utils.cli import sentence_of
        >>> error = UserError("class `UNet` in mmspd/unet.py: base must be 1 or more; change it.")
        >>> sentence_of(error)
        'base must be 1 or more; change it.'
    """
    message = str(error)
    if _WORKER.match(message):
        # the last line of the traceback reads 'mmspd.errors.UserError: <sentence>'
        message = message.rstrip().rpartition('UserError: ')[2]
    return ' '.join(_BUILDING.sub('', message).split())


def add_inferencer_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the model, the device and the tiles.

    Args:
        parser: Parser of a tool that restores photos.
    """
    parser.add_argument(
        'config', help='config file, or its name in configs/spd, e.g. mimounet_sp_gopro'
    )
    parser.add_argument(
        'weights', help='checkpoint of tools/train.py, or published weights of the restorer'
    )
    parser.add_argument(
        '--device', help='device, e.g. cpu or cuda:1 (default: the accelerator if there is one)'
    )
    parser.add_argument(
        '--tile',
        type=tile_argument,
        default='auto',
        metavar='N',
        help='side of the tiles in pixels; 0 for no tiles; auto for the largest tiles that fit in '
        'the memory (default: auto)',
    )


def add_pair_templates(parser: argparse.ArgumentParser) -> None:
    """Add the name templates of blurry and sharp images.

    Args:
        parser: Parser of a tool that reads a data set.
    """
    for kind, name in (('blur', 'blurry'), ('sharp', 'sharp')):
        parser.add_argument(
            f'--{kind}-template',
            default='{}',
            metavar='NAME',
            help=f"names of the {name} images if the names of a pair differ, e.g. '{{}}_{kind}'; "
            '{} stands for the common part (default: {})',
        )


def at_least_one(text: str) -> int:
    """Parse an argument that is a whole number of at least 1."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text} is too small; use 1 or more.')
    return int(text)


def positive(text: str) -> float:
    """Parse an argument that is a number greater than 0."""
    if not float(text) > 0:
        raise argparse.ArgumentTypeError(f'{text} is too small; use a number greater than 0.')
    return float(text)


def size_argument(text: str) -> Tuple[int, int]:
    """Parse a height and a width in pixels.

    Args:
        text: For example ``'720x1280'``.

    Returns:
        Height and width.

    Raises:
        argparse.ArgumentTypeError: The text has another form.

    Examples:
        >>> from mmspd.utils.cli import size_argument
        >>> size_argument('720x1280')
        (720, 1280)
    """
    match = re.fullmatch(r'([1-9]\d*)x([1-9]\d*)', text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not a size; write HEIGHTxWIDTH, such as 720x1280.'
        )
    return int(match[1]), int(match[2])


def tile_argument(text: str) -> Union[str, int]:
    """Parse the side of the tiles: a number of pixels or ``'auto'``."""
    if text != 'auto' and not text.isdecimal():
        raise argparse.ArgumentTypeError(
            f'{text!r} is not a tile size; use a number of pixels or auto.'
        )
    return text if text == 'auto' else int(text)


def _unknown_name(error: KeyError) -> Optional[str]:
    """Return the message for an unknown name, with similar names, from the error of a registry."""
    message = ' '.join(map(str, error.args))
    match = re.match(r'(\S+) is not in the \S+::(.+?) registry\.', message)
    if match is None:
        return None
    name, kind = match.groups()

    def similarity(known: str) -> float:
        # ignore the scope and the case, so that typos in them do not hide a similar name
        first, second = (full.rpartition('.')[2].lower() for full in (known, name))
        return difflib.SequenceMatcher(None, first, second).ratio()

    closest = sorted(_registered_names(kind), key=similarity, reverse=True)[:3]
    return (
        f"There is no {kind} named '{name}'; check its spelling in the config (similar names: "
        f'{", ".join(closest)}).'
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
        for name in registry.module_dict
    ]
