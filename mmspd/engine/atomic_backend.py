"""A local file backend that never leaves an incomplete file."""

import os
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, Optional, Tuple, Union

from mmengine.fileio import LocalBackend, register_backend

from mmspd.utils.files import write_bytes

__all__ = ['BACKEND', 'AtomicBackend']

BACKEND = 'mmspd.atomic'


class AtomicBackend(LocalBackend):
    """MMEngine's local file backend with atomic writes.

    A file always has its complete old content or its complete new content. See
    :func:`~mmspd.utils.files.atomic_path`.
    """

    def __init__(self) -> None:
        self._deferred: Optional[Dict[str, Tuple[int, int]]] = None

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Write bytes to a file atomically.

        Args:
            obj: The content.
            filepath: The file. Its folder is created.

        Raises:
            UserError: The disk is full or the folder is not writable.
        """
        write_bytes(filepath, obj)

    def put_text(self, obj: str, filepath: Union[str, Path], encoding: str = 'utf-8') -> None:
        """Write text to a file atomically.

        Args:
            obj: The content.
            filepath: The file. Its folder is created.
            encoding: The encoding of the file.

        Raises:
            UserError: The disk is full or the folder is not writable.
        """
        self.put(obj.encode(encoding), filepath)

    def remove(self, filepath: Union[str, Path]) -> None:
        """Delete a file. Inside :meth:`removals_deferred`, delete it at the end of the block.

        Args:
            filepath: The file.
        """
        if self._deferred is None:
            super().remove(filepath)
        else:
            self._deferred[str(filepath)] = _identity(filepath)

    @contextmanager
    def removals_deferred(self) -> Iterator[None]:
        """Defer :meth:`remove` to the end of the block. After an error, no file is deleted.

        A file is kept if it is written again after the call of :meth:`remove`.
        """
        pending: Dict[str, Tuple[int, int]] = {}
        self._deferred = pending
        try:
            yield
        finally:
            self._deferred = None
        for filepath, identity in pending.items():
            if _identity(filepath) == identity:
                super().remove(filepath)


def _identity(filepath: Union[str, Path]) -> Tuple[int, int]:
    status = os.stat(filepath)
    return status.st_ino, status.st_mtime_ns


register_backend(BACKEND, AtomicBackend)
