"""Files that are written whole or not at all."""

import errno
import os
from pathlib import Path
from typing import Union

from mmspd.errors import UserError

__all__ = ['write_bytes', 'write_text']


def write_text(path: Union[str, Path], text: str) -> None:
    """Write a UTF-8 text file such that it is whole or absent; see :func:`write_bytes`."""
    write_bytes(path, text.encode('utf-8'))


def write_bytes(path: Union[str, Path], data: bytes) -> None:
    """Write a file such that it is whole or absent: to a temporary name beside it, then renamed.

    Args:
        path: The file; its folder is made.
        data: What it holds.

    Raises:
        UserError: The disk is full, or the file cannot be written there.
    """
    path = Path(path)
    temporary = path.with_name(f'.{path.name}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"no space left to write '{path}' ({len(data)} bytes): free some and run it again, "
                'what is done stays'
            ) from error
        raise UserError(f"cannot write '{path}': {error.strerror}") from error
    finally:  # also where the user interrupts
        if path.parent.is_dir():
            temporary.unlink(missing_ok=True)
