"""Record the SHA-256 of a weights file at its first use, and compare later uses with it."""

import re
from pathlib import Path

from mmspd.errors import UserError
from mmspd.utils.files import write_text
from mmspd.weights.partial import beside

__all__ = ['check_recorded', 'record', 'recorded']


def recorded(file: Path) -> str:
    """Return the SHA-256 that a file had at its first use.

    Args:
        file: The file. It may be missing.

    Returns:
        64 hexadecimal digits, or an empty string if nothing is recorded.
    """
    path = beside(file, 'sha256')
    text = path.read_text('utf-8').strip() if path.is_file() else ''
    return text if re.fullmatch('[0-9a-f]{64}', text) else ''


def record(file: Path, digest: str) -> None:
    """Record the SHA-256 of a file whose publisher states none, and report it.

    Args:
        file: The file.
        digest: Its SHA-256.
    """
    from mmengine.logging import print_log  # slow to import

    write_text(beside(file, 'sha256'), f'{digest}\n')
    print_log(
        f'{file.name} has the SHA-256 {digest}. It is recorded, and later uses must have it.',
        'current',
    )


def check_recorded(file: Path, digest: str, key: str) -> None:
    """Compare the SHA-256 of a file with that of the first use; record it at the first use.

    Args:
        file: The file.
        digest: Its SHA-256.
        key: The config key or argument with the weights, for error messages.

    Raises:
        UserError: The file has changed.
    """
    known = recorded(file)
    if not known:
        record(file, digest)
    elif known != digest:
        raise UserError(
            f'{key}: the SHA-256 of {file} is {digest}, but it was {known} at the first use; copy '
            f'the file again, or delete {beside(file, "sha256")} if the change is intended.'
        )
