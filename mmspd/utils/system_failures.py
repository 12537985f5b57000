"""Describe failures of the system: of files, disks and processes."""

import errno
import os
import re
from typing import Optional

__all__ = ['system_failure']

# The message of a DataLoader worker's error contains the traceback of the worker.
_WORKER = re.compile(r'^Caught \w+ in .*?Traceback \(most recent call last\)', re.DOTALL)


def system_failure(error: BaseException) -> Optional[str]:
    """Describe a file that cannot be used, a full disk or a killed data loading process.

    Args:
        error: Any exception.

    Returns:
        One sentence, or None for other exceptions.

    Examples:
        >>> from mmspd.utils.system_failures import system_failure
        >>> system_failure(OSError(28, 'No space left on device', 'a.log'))
        'No space is left on the disk for a.log; free some space and continue with --resume.'
    """
    if isinstance(error, OSError):
        return _failed_access(error)
    if isinstance(error, RuntimeError):
        return _killed_worker(error)
    return None


def _failed_access(error: OSError) -> Optional[str]:
    """Return the message for a file that cannot be read or written."""
    number, path = error.errno, error.filename
    if _WORKER.match(str(error)):
        # the last line of the traceback reads "FileNotFoundError: [Errno 2] <reason>: '<path>'"
        cause = re.search(r"\[Errno (\d+)\] [^\n]*?(?:: '([^\n]*)')?$", str(error).rstrip())
        number, path = (int(cause[1]), cause[2]) if cause else (None, None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        where = f' for {path}' if path else ''
        return f'No space is left on the disk{where}; free some space and continue with --resume.'
    if number is None or not path:
        return None
    return (
        f"Cannot read or write '{path}' ({os.strerror(number)}); check that it exists, its "
        'permissions and the disk.'
    )


def _killed_worker(error: RuntimeError) -> Optional[str]:
    """Return the message for a data loading process that has ended, from PyTorch's error."""
    # the cause of 'DataLoader worker (pid(s) 1) exited unexpectedly' may say more
    message = str(error.__cause__ or error)
    if not re.match(r'DataLoader worker \(pid', message):
        return None
    return (
        f'A data loading process has ended ({message.rstrip(". ")}); check that the memory '
        'suffices, or reduce num_workers, and continue with --resume.'
    )
