"""Helpers of the command-line tools: user errors as one sentence, and argument types."""

import argparse
import io
import math
import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional, Tuple, Union

from mmspd.errors import UsageError, UserError
from mmspd.utils.interruptions import interruptible

__all__ = [
    'add_inferencer_arguments',
    'add_pair_templates',
    'at_least_one',
    'output_file',
    'output_folder',
    'positive',
    'run_main',
    'share',
    'size_argument',
    'tile_argument',
    'usage_errors',
    'zero_or_more',
]


def run_main(main: Callable[..., Any], argv: Optional[List[str]] = None) -> None:
    """Run the ``main(argv)`` of a command and exit with its exit code.

    An error that the user can fix is printed as ``error: <sentence>`` on stderr. The exit code is 2
    if an argument or the config is wrong, and 1 if the work failed, for example because of a
    damaged file or a full disk. Ctrl-C and SIGTERM are reported in the same form with exit code 130
    and 143. Any other exception is a bug and keeps its traceback.

    Args:
        main: Function that takes the list of arguments and returns the exit code, or ``None`` for
            exit code 0.
        argv: Arguments; by default those of the process.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names need not be valid Unicode
        sys.stdout.reconfigure(errors='backslashreplace')
    arguments = sys.argv[1:] if argv is None else argv
    try:
        with interruptible():
            _check_arguments(arguments)
            code = main(arguments)
    except Exception as error:
        from mmspd.utils.failures import failure_of  # imported here, so that --help is fast

        failure = failure_of(error)
        if failure is None:
            raise
        print(f'error: {failure.sentence}', file=sys.stderr, flush=True)
        code = failure.code
    sys.exit(code or 0)


def _check_arguments(argv: List[str]) -> None:
    """Raise an error for an empty argument, such as the value of an unset shell variable."""
    for number, argument in enumerate(argv):
        if '\0' in argument:
            raise UsageError(f'The argument {argument!r} has a null character; remove it.')
        empty_option = re.fullmatch(r'(--[\w-]+)=', argument)
        if not argument or empty_option:
            before = empty_option[1] if empty_option else argv[number - 1] if number else ''
            place = f' after {before}' if before else ''
            raise UsageError(
                f'The argument{place} is empty; give a value, and check that the shell variables '
                'of the command are set.'
            )


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn user errors into usage errors, while a command checks its arguments.

    Raises:
        UsageError: The block has raised a :class:`~mmspd.errors.UserError`.
    """
    try:
        yield
    except UsageError:
        raise
    except UserError as error:
        raise UsageError(str(error)) from error


def add_inferencer_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the model, the device and the tiles.

    Args:
        parser: Parser of a tool that restores photos.
    """
    parser.add_argument(
        'config',
        help='config file, or its name, e.g. mimounet_sp_gopro; or a folder of shared weights',
    )
    parser.add_argument(
        'weights',
        help='checkpoint of mmspd train, or published weights of the restorer: a file, a name '
        'of mmspd weights list, or official',
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


def zero_or_more(text: str) -> int:
    """Parse an argument that is a whole number of at least 0."""
    if int(text) < 0:
        raise argparse.ArgumentTypeError(f'{text} is too small; use 0 or more.')
    return int(text)


def positive(text: str) -> float:
    """Parse an argument that is a finite number greater than 0."""
    if not 0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError(f'{text} is not a finite number greater than 0.')
    return float(text)


def share(text: str) -> float:
    """Parse an argument that is a number from 0 to 1."""
    if not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f'{text} is not a number from 0 to 1.')
    return float(text)


def output_folder(text: str) -> Path:
    """Parse the folder of an output. It need not exist."""
    path = Path(text)
    for part in (path, *path.parents):
        if os.path.isdir(part):
            break
        if os.path.lexists(part):
            raise argparse.ArgumentTypeError(f'{part} is not a folder; give another folder.')
    return path


def output_file(text: str) -> Path:
    """Parse the file of an output. Neither the file nor its folder need exist."""
    path = Path(text)
    if os.path.isdir(path):
        raise argparse.ArgumentTypeError(f'{path} is a folder; give a file.')
    output_folder(str(path.parent))
    return path


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
