"""Lock folders and files, so that one process at a time writes to them."""

import errno
import json
import os
import socket
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, TextIO, Union

from mmspd.errors import UserError
from mmspd.utils.json_text import parse_json

__all__ = ['LOCK_NAME', 'lock_folder', 'unlock_folder', 'waiting_lock']

LOCK_NAME = 'run.lock'
#: Errors of file systems without locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)

#: The lock files that this process holds, by folder.
_held: Dict[Path, TextIO] = {}
#: The threads of this process lock files one after the other; a lock of the system is per process.
_threads = threading.Lock()
os.register_at_fork(after_in_child=_held.clear)  # a child process does not inherit the locks


def lock_folder(folder: Union[str, Path]) -> bool:
    """Lock a folder until :func:`unlock_folder` is called or this process ends.

    The lock is a lock of the operating system on the file ``run.lock``. The lock ends with the
    process, also if the process is killed; the file stays and does no harm. Its content names the
    process for the error message.

    Args:
        folder: The folder. It is created if it is missing.

    Returns:
        False if the file system has no locks.

    Raises:
        UserError: Another process holds the lock, or the file cannot be written.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> from mmspd.utils.lock import lock_folder, unlock_folder
        >>> with TemporaryDirectory() as folder:
        ...     print(lock_folder(folder))
        ...     unlock_folder(folder)
        True
    """
    import fcntl  # POSIX only

    folder = Path(folder).resolve()
    if folder in _held:
        return True
    path = folder / LOCK_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # 'a' creates the file and keeps the content, which names the holder of the lock
        file = path.open('a+')
    except OSError as error:
        raise UserError(
            f"Cannot write '{path}' ({error.strerror}); choose another folder."
        ) from error
    try:
        # Unlike flock, this lock is not inherited by data loading processes, which may live longer
        # than a killed run.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        with file:
            if error.errno in _NO_LOCKS:
                return False
            file.seek(0)
            holder = _describe(file.read())
        raise UserError(
            f"'{folder}' is in use by {holder}; wait for its end, or choose another folder."
        ) from error
    file.truncate(0)
    json.dump(dict(process=os.getpid(), host=socket.gethostname()), file)
    file.flush()
    _held[folder] = file
    return True


def unlock_folder(folder: Union[str, Path]) -> None:
    """Unlock a folder. Without a lock, this function does nothing.

    Args:
        folder: The folder.
    """
    file = _held.pop(Path(folder).resolve(), None)
    if file is not None:
        file.close()


def _describe(content: str) -> str:
    """Name the process that wrote a lock file."""
    try:
        holder = parse_json(content)
        return f'process {holder["process"]} on {holder["host"]}'
    except (ValueError, TypeError, KeyError):  # the other process has not written it yet
        return 'another process'


@contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a file; wait while another process or thread holds it.

    On a file system without locks, this function does not wait for other processes.

    Args:
        path: The lock file. It is created if it is missing, and it stays. Its folder must exist.

    Yields:
        Nothing.

    Raises:
        OSError: The file cannot be written.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from mmspd.utils.lock import waiting_lock
        >>> with TemporaryDirectory() as folder, waiting_lock(Path(folder, 'a.lock')):
        ...     print('locked')
        locked
    """
    import fcntl  # POSIX only

    with _threads, path.open('a') as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield
