"""Files that are written whole or not at all."""

import errno
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List, Optional, Union

from mmspd.errors import UserError

__all__ = ['atomic_path', 'remove_leftovers', 'write_bytes', 'write_text']

_PREFIX = '.mmspd-tmp.'


@contextmanager
def atomic_path(path: Union[str, Path], size: Optional[int] = None) -> Iterator[Path]:
    """Give a temporary path to write to; at the end of the block its file replaces ``path``.

    The temporary file is in the same folder and is flushed to the disk before it is renamed. An
    error in the block, or a process killed at any moment, leaves the old file as it was.

    Args:
        path: The file; its folder is made.
        size: Its size in bytes, for the message about a full disk.

    Raises:
        UserError: The disk is full, or the file cannot be written there.
    """
    path = Path(path)
    temporary = path.with_name(f'{_PREFIX}{os.getpid()}.{path.name}')
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
        raise UserError(_failure(error, path, size)) from error


def write_bytes(path: Union[str, Path], data: bytes) -> None:
    """Write a file whole or not at all; see :func:`atomic_path`."""
    with atomic_path(path, len(data)) as temporary:
        temporary.write_bytes(data)


def write_text(path: Union[str, Path], text: str) -> None:
    """Write a UTF-8 text file whole or not at all; see :func:`atomic_path`."""
    write_bytes(path, text.encode('utf-8'))


def remove_leftovers(folder: Union[str, Path]) -> List[str]:
    """Delete the temporary files that a killed process left in a folder, and return their names."""
    leftovers = sorted(Path(folder).glob(f'{_PREFIX}*'))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return [path.name for path in leftovers]


def _failure(error: OSError, path: Path, size: Optional[int]) -> str:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return f"cannot write '{path}': {error.strerror}; choose another place for it"
    needed = '' if size is None else f'{size} bytes are needed and '
    free = shutil.disk_usage(path.parent).free
    return (
        f"no space left to write '{path}' ({needed}{free} are free): free some and run it again "
        '(a training with --resume), finished files stay'
    )


def _fsync_folder(folder: Path) -> None:
    """Flush the folder's entry for a renamed file, where the system lets folders be opened."""
    if os.name != 'posix':
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
