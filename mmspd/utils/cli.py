"""What the command-line tools do with a mistake of their user: one sentence, no traceback."""

import argparse
import difflib
import errno
import re
import signal
import sys
from typing import Any, Callable, List, Optional, Tuple, Union

from mmspd.errors import UserError

__all__ = [
    'add_inferencer_arguments',
    'at_least_one',
    'positive',
    'run_main',
    'sentence_of',
    'size_argument',
    'tile_argument',
]

# A DataLoader worker's error arrives with the worker's traceback in its message.
_WORKER = re.compile(r'^Caught \w+ in .*?Traceback \(most recent call last\)', re.DOTALL)
# Some versions of MMEngine put the class that was being built in front of an error.
_BUILDING = re.compile(r'^(?:class `\w+` in \S+\.py: )+')


def run_main(main: Callable[..., Any], argv: Optional[List[str]] = None) -> None:
    """Run a command's ``main(argv)`` and leave the process with its exit code.

    A :class:`~mmspd.errors.UserError`, an unknown name or key in a config and a full disk end in
    ``error: <sentence>`` on stderr and exit code 1, Ctrl-C likewise with 130; any other exception
    keeps its traceback, for it is ours to mend.

    Args:
        main: Takes the list of arguments; what it returns is the exit code, None for 0.
        argv: The arguments; those of the process by default.
    """
    try:
        code = main(sys.argv[1:] if argv is None else argv)
    except Exception as error:
        sentence = _sentence_for(error)
        if sentence is None:
            raise
        print(f'error: {sentence}', file=sys.stderr, flush=True)
        code = 1
    except KeyboardInterrupt:
        print('\nerror: interrupted by the user', file=sys.stderr, flush=True)
        code = 128 + signal.SIGINT  # as shells count it
    sys.exit(code or 0)


def _sentence_for(error: Exception) -> Optional[str]:
    """Return what the user can mend, None where the mistake is not theirs."""
    if isinstance(error, UserError):
        return sentence_of(error)
    if isinstance(error, TypeError):
        return _unknown_argument(error)
    if isinstance(error, KeyError):
        return _unknown_name(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f' for {error.filename}' if error.filename else ''
        return f'no space is left on the disk{where}: free some, then continue with --resume'
    return None


def _unknown_argument(error: TypeError) -> Optional[str]:
    """Turn a constructor's complaint about an argument into a sentence: a misspelt config key."""
    pattern = r"(?:.*: )?([\w.]+?)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'"
    match = re.match(pattern, str(error))
    if match is None:
        return None
    return f'the config gives {match[1]} the key {match[2]!r}, which it does not know: correct it'


def sentence_of(error: UserError) -> str:
    """Return the sentence of an error, without what others have glued around it."""
    message = str(error)
    if _WORKER.match(message):
        # the last line of the traceback reads 'mmspd.errors.UserError: <sentence>'
        message = message.rstrip().rpartition('UserError: ')[2]
    return ' '.join(_BUILDING.sub('', message).split())


def add_inferencer_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the tools that restore photos: model, device and tiles."""
    parser.add_argument('config', help='config, or its name, e.g. mimounet_sp_gopro')
    parser.add_argument('weights', help='checkpoint of tools/train.py, or published one')
    parser.add_argument('--device', help='e.g. cpu or cuda:1; by default the accelerator, if any')
    parser.add_argument(
        '--tile',
        type=tile_argument,
        default='auto',
        metavar='N',
        help='side of the tiles in pixels; 0: no tiles; auto (the default): the largest that the '
        'memory allows',
    )


def at_least_one(text: str) -> int:
    """Read an argument that is a number from 1 on."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text} is not a number from 1 on')
    return int(text)


def positive(text: str) -> float:
    """Read an argument that is more than 0."""
    if not float(text) > 0:
        raise argparse.ArgumentTypeError(f'{text} is not more than 0')
    return float(text)


def size_argument(text: str) -> Tuple[int, int]:
    """Read height and width."""
    match = re.fullmatch(r'([1-9]\d*)x([1-9]\d*)', text)
    if match is None:
        raise argparse.ArgumentTypeError(f'{text!r} is no HEIGHTxWIDTH, such as 720x1280')
    return int(match[1]), int(match[2])


def tile_argument(text: str) -> Union[str, int]:
    """Read the side of the tiles from a command line: a number of pixels or ``'auto'``."""
    if text != 'auto' and not text.isdecimal():
        raise argparse.ArgumentTypeError(f'{text!r} is neither a number of pixels nor auto')
    return text if text == 'auto' else int(text)


def _unknown_name(error: KeyError) -> Optional[str]:
    """Turn a registry's complaint about a name into a sentence with close matches."""
    message = ' '.join(map(str, error.args))
    match = re.match(r'(\S+) is not in the \S+::(.+?) registry\.', message)
    if match is None:
        return None
    name, kind = match.groups()

    def similarity(known: str) -> float:
        # a wrong scope, a wrong case and a slip of the finger should all lead to the right name
        first, second = (full.rpartition('.')[2].lower() for full in (known, name))
        return difflib.SequenceMatcher(None, first, second).ratio()

    closest = sorted(_registered_names(kind), key=similarity, reverse=True)[:3]
    return (
        f"the config names the {kind} '{name}', which nothing is registered as; did you mean "
        f'{" or ".join(closest)}?'
    )


def _registered_names(kind: str) -> List[str]:
    """Return all registered names of a kind ('model', 'hook', ...), with their scopes."""
    from mmengine.registry import Registry, root

    def family(registry: Registry) -> List[Registry]:
        return sum(map(family, registry.children.values()), [registry])

    # of one family, a project calls its own 'optim_wrapper' and another 'optimizer_wrapper'
    families = [family(item) for item in vars(root).values() if isinstance(item, Registry)]
    return [
        name if registry.scope == 'mmengine' else f'{registry.scope}.{name}'
        for members in families
        if kind in {registry.name for registry in members}
        for registry in members
        for name in registry.module_dict
    ]
