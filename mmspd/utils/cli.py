"""What the command-line tools do with a mistake of their user: one sentence, no traceback."""

import re
import sys
from typing import Any, Callable, List, Optional

from mmspd.errors import UserError

__all__ = ['run_main', 'sentence_of']

# A DataLoader worker's error arrives with the worker's traceback in its message.
_WORKER = re.compile(r'^Caught \w+ in .*?Traceback \(most recent call last\)', re.DOTALL)
# Some versions of MMEngine put the class that was being built in front of an error.
_BUILDING = re.compile(r'^(?:class `\w+` in \S+\.py: )+')


def run_main(main: Callable[..., Any], argv: Optional[List[str]] = None) -> None:
    """Run a command's ``main(argv)`` and leave the process with its exit code.

    A :class:`~mmspd.errors.UserError` ends in ``error: <sentence>`` on stderr and exit code 1;
    any other exception keeps its traceback, for it is ours to mend.

    Args:
        main: Takes the list of arguments; what it returns is the exit code, None for 0.
        argv: The arguments; those of the process by default.
    """
    try:
        code = main(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        print(f'error: {sentence_of(error)}', file=sys.stderr, flush=True)
        code = 1
    except KeyError as error:
        sentence = _unknown_name(error)
        if sentence is None:
            raise
        print(f'error: {sentence}', file=sys.stderr, flush=True)
        code = 1
    sys.exit(code or 0)


def sentence_of(error: UserError) -> str:
    """Return the sentence of an error, without what others have glued around it."""
    message = str(error)
    if _WORKER.match(message):
        # the last line of the traceback reads 'mmspd.errors.UserError: <sentence>'
        message = message.rstrip().rpartition('UserError: ')[2]
    return ' '.join(_BUILDING.sub('', message).split())
