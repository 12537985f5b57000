"""Write files atomically, so that no file is incomplete."""

import errno
import hashlib
import os
import re
import shutil
import socket
import time
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List, Optional, Union

from mmspd.errors import DiskFullError, UserError

__all__ = ['atomic_path', 'remove_leftovers', 'sha256_of', 'write_bytes', 'write_text']

_PREFIX = '.mmspd-tmp.'
_KEPT = 32  # characters of the name, at most 128 bytes
#: Seconds after which a temporary file of another machine belongs to no running process.
_LONGEST_WRITE = 3600


@contextmanager
def atomic_path(path: Union[str, Path], size: Optional[int] = None) -> Iterator[Path]:
    """Yield a temporary path to write to; its file replaces ``path`` after the ``with`` block.

    The temporary file is in the same folder. It is flushed to the disk before it is renamed. If the
    block raises an error, or the process is killed, the old file is unchanged.

    Args:
        path: File to write. Its folder is created if it does not exist.
        size: Size of the file in bytes, for the error message of a full disk.

    Yields:
        The temporary path to write to.

    Raises:
        DiskFullError: The disk is full.
        UserError: The file cannot be written.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from mmspd.utils.files import atomic_path
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, 'results.txt')
        ...     with atomic_path(path) as temporary:
        ...         _ = temporary.write_text('30.25 dB')
        ...         print(path.exists())
        ...     print(path.read_text())
        False
        30.25 dB
    """
    path = Path(path)
    temporary = path.with_name(_temporary_name(path.name))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open('rb+') as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _fsync_folder(path.parent)
    except OSError as error:
        raise _failure(error, path, size) from error


def write_bytes(path: Union[str, Path], data: bytes) -> None:
    """Write a file atomically; see :func:`atomic_path`.

    Args:
        path: File to write.
        data: Content of the file.

    Raises:
        UserError: The disk is full, or the file cannot be written.
    """
    with atomic_path(path, len(data)) as temporary:
        temporary.write_bytes(data)


def write_text(path: Union[str, Path], text: str) -> None:
    """Write a UTF-8 text file atomically; see :func:`atomic_path`.

    Args:
        path: File to write.
        text: Content of the file. File names that are not valid UTF-8 are written as their bytes.

    Raises:
        UserError: The disk is full, or the file cannot be written.
    """
    write_bytes(path, text.encode('utf-8', 'surrogateescape'))


def sha256_of(path: Union[str, Path]) -> str:
    """Compute the SHA-256 of a file.

    Args:
        path: The file, of any size.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def remove_leftovers(folder: Union[str, Path]) -> List[str]:
    """Delete the temporary files that killed processes left in a folder.

    A file of a running process is kept. Whether a process of another machine is running is not
    known, so its files are kept for an hour.

    Args:
        folder: Folder to clean.

    Returns:
        Names of the deleted files.
    """
    leftovers = [path for path in sorted(Path(folder).glob(f'{_PREFIX}*')) if _is_left(path)]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return [path.name for path in leftovers]


def _temporary_name(name: str) -> str:
    """Return a name for the temporary file of a file, with the same suffix.

    Only the end of a long name is used, because file systems allow 255 bytes for a name.
    """
    return f'{_PREFIX}{_host()}.{os.getpid()}.{zlib.crc32(os.fsencode(name)):08x}.{name[-_KEPT:]}'


def _host() -> str:
    """Return the start of the name of this machine, without dots."""
    return socket.gethostname().replace('.', '-')[:_KEPT]


def _is_left(path: Path) -> bool:
    """Tell whether the process that wrote a temporary file has ended."""
    parts = re.match(rf'{re.escape(_PREFIX)}([^.]*)\.(\d+)\.', path.name)
    if parts is None:
        return False
    host, process = parts[1], int(parts[2])
    if host != _host():
        return time.time() - path.lstat().st_mtime > _LONGEST_WRITE
    if process == os.getpid():
        return True
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # the process of another user
    return False


def _failure(error: OSError, path: Path, size: Optional[int]) -> UserError:
    """Return the user error for a file that cannot be written."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"Cannot write '{path}' ({error.strerror}); choose another path.")
    needed = '' if size is None else f'{size} bytes are needed and '
    free = shutil.disk_usage(path.parent).free
    return DiskFullError(
        f"No disk space is left to write '{path}' ({needed}{free} bytes are free); free some space "
        'and run the command again (a training run with --resume).'
    )


def _fsync_folder(folder: Path) -> None:
    """Flush the entry of a renamed file in its folder; only POSIX systems can open folders."""
    if os.name != 'posix':
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
