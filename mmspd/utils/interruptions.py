"""Handle Ctrl-C, SIGTERM and failed writer threads while a command runs."""

import os
import signal
import sys
import threading
from contextlib import contextmanager
from types import FrameType
from typing import Any, Dict, Iterator, List, Optional

__all__ = ['interruptible']

#: The signals that end a command, with their messages.
_MESSAGES = {
    signal.SIGINT: 'Interrupted by the user.',
    signal.SIGTERM: 'Ended by the signal SIGTERM.',
}


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the block with a sentence and the exit code of shells.

    Both signals raise ``KeyboardInterrupt``, so that temporary files are deleted. A library may
    turn this exception into another one: MMEngine does so while it formats a config.

    Yields:
        Nothing.

    Raises:
        SystemExit: A signal has arrived. The code is 130 for Ctrl-C and 143 for SIGTERM.
    """
    noted: List[int] = []
    try:
        with _signals_raise(noted), _quiet_writers():
            yield
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and not noted:
            noted.append(signal.SIGINT)
        if not noted:
            raise
        print(f'\nerror: {_MESSAGES[signal.Signals(noted[0])]}', file=sys.stderr, flush=True)
        raise SystemExit(128 + noted[0]) from error


@contextmanager
def _signals_raise(noted: List[int]) -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` for both signals, and add them to a list."""
    process = os.getpid()

    def handle(number: int, frame: Optional[FrameType]) -> None:
        if os.getpid() != process:  # a forked process, whose list nobody reads
            signal.signal(number, before[number])
            os.kill(os.getpid(), number)
            return
        noted.append(number)
        raise KeyboardInterrupt

    before: Dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # others cannot handle signals
        handlers = {number: signal.getsignal(number) for number in _MESSAGES}
        # a command that runs in the background may ignore Ctrl-C
        before.update((n, h) for n, h in handlers.items() if h not in (signal.SIG_IGN, None))
    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextmanager
def _quiet_writers() -> Iterator[None]:
    """Print no traceback of TensorBoard's writer thread; its error is raised in the run too."""
    original = threading.excepthook

    def hook(details: Any) -> None:
        of_tensorboard = type(details.thread).__module__.partition('.')[0] == 'tensorboard'
        if not (of_tensorboard and isinstance(details.exc_value, OSError)):
            original(details)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = original
