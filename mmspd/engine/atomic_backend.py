"""A local file backend that never leaves half a file behind."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple, Union

from mmengine.fileio import LocalBackend, register_backend

from mmspd.errors import UserError

__all__ = ['BACKEND', 'AtomicBackend']

BACKEND = 'mmspd.atomic'
_TEMP_SUFFIX = '.mmspd-tmp'


class AtomicBackend(LocalBackend):
    """Local files that are either the complete old one or the complete new one.

    ``put`` writes to a temporary file in the same folder, flushes it to the disk and renames it
    over the target. A process killed at any moment leaves the old file, and at worst a temporary
    one that :meth:`remove_leftovers` deletes.
    """

    def __init__(self) -> None:
        self._deferred: Optional[Dict[str, Tuple[int, int]]] = None

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Write ``obj`` to ``filepath`` in one step.

        Raises:
            UserError: If the disk is full or the folder cannot be written; what was there before
                is untouched.
        """
        folder, name = os.path.split(os.path.abspath(filepath))
        try:
            os.makedirs(folder, exist_ok=True)
            self._put(obj, folder, name)
        except OSError as error:
            raise UserError(self._failure(error, folder, name, len(obj))) from error

    def _put(self, obj: bytes, folder: str, name: str) -> None:
        # made by open() rather than tempfile, so that the file has the user's usual permissions
        temporary = Path(folder, f'.{name}.{os.getpid()}{_TEMP_SUFFIX}')
        try:
            with temporary.open('wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, os.path.join(folder, name))
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _fsync_folder(folder)

    def put_text(self, obj: str, filepath: Union[str, Path], encoding: str = 'utf-8') -> None:
        """Write text to ``filepath`` in one step; see :meth:`put`."""
        self.put(obj.encode(encoding), filepath)

    def remove(self, filepath: Union[str, Path]) -> None:
        """Delete a file, or put that off inside :meth:`removals_deferred`."""
        if self._deferred is None:
            super().remove(filepath)
        else:
            self._deferred[str(filepath)] = _identity(filepath)

    @contextmanager
    def removals_deferred(self) -> Iterator[None]:
        """Delete what is removed inside only after the block has ended without an error.

        A file that has been written anew meanwhile stays.
        """
        if self._deferred is not None:  # nested: the outermost block deletes
            yield
            return
        self._deferred = pending = {}
        try:
            yield
        finally:
            self._deferred = None
        for filepath, identity in pending.items():
            if _identity(filepath) == identity:
                super().remove(filepath)

    @staticmethod
    def remove_leftovers(folder: Union[str, Path]) -> List[str]:
        """Delete the temporary files that a killed process left in ``folder``.

        Returns:
            The names of the deleted files.
        """
        leftovers = sorted(Path(folder).glob(f'.*{_TEMP_SUFFIX}'))
        for path in leftovers:
            path.unlink(missing_ok=True)
        return [path.name for path in leftovers]

    @staticmethod
    def _failure(error: OSError, folder: str, name: str, size: int) -> str:
        free = ''
        if os.path.isdir(folder):
            free = f', {shutil.disk_usage(folder).free} bytes are free'
        return (
            f'{name} could not be written to {folder} ({error.strerror}): it needs {size} '
            f'bytes{free}; the files saved before are untouched, so mend this and --resume'
        )


def _identity(filepath: Union[str, Path]) -> Tuple[int, int]:
    status = os.stat(filepath)
    return status.st_ino, status.st_mtime_ns


def _fsync_folder(folder: str) -> None:
    """Flush the folder's entry for a renamed file, where the system lets folders be opened."""
    if os.name != 'posix':
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


register_backend(BACKEND, AtomicBackend)
