"""A local file backend that never leaves half a file behind."""

import os
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, Optional, Tuple, Union

from mmengine.fileio import LocalBackend, register_backend

from mmspd.utils.files import write_bytes

__all__ = ['BACKEND', 'AtomicBackend']

BACKEND = 'mmspd.atomic'


class AtomicBackend(LocalBackend):
    """Local files that are either the complete old one or the complete new one.

    See :func:`~mmspd.utils.files.atomic_path`.
    """

    def __init__(self) -> None:
        self._deferred: Optional[Dict[str, Tuple[int, int]]] = None

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Write ``obj`` to ``filepath`` in one step.

        Raises:
            UserError: The disk is full or the folder cannot be written.
        """
        write_bytes(filepath, obj)

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
