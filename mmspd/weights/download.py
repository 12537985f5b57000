"""Download weights files to mmspd's cache, continue interrupted downloads, check the content."""

import hashlib
import http.client
import logging
import os
import urllib.request
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

from tqdm import tqdm

from mmspd.errors import UserError
from mmspd.utils.cache import home
from mmspd.utils.files import atomic_path, sha256_of
from mmspd.utils.lock import waiting_lock
from mmspd.weights.addresses import Address, digest_in_name
from mmspd.weights.first_use import record, recorded
from mmspd.weights.partial import PartialFile, beside

__all__ = ['cache_folder', 'fetch']

TIMEOUT = 60  # seconds without data after which a download ends
_CHUNK = 2**20


def cache_folder() -> Path:
    """Return the folder in which mmspd keeps downloaded weights."""
    return home() / 'weights'


def fetch(address: Address, key: str, cure: str, file: Optional[Path] = None) -> Tuple[Path, str]:
    """Download a file to the cache, unless the cache has it.

    A file in the cache with another SHA-256 than the address promises is downloaded again. If the
    address promises none, the SHA-256 of the first download is recorded and expected later. An
    interrupted download is continued. One process at a time downloads a file.

    Args:
        address: The address.
        key: The config key or argument with the address, for error messages.
        cure: The fix after a download on another machine, for error messages.
        file: Path of the file in the cache; by default a path for the address.

    Returns:
        The file in the cache, and its SHA-256.

    Raises:
        UserError: The file cannot be downloaded, or its content is not the promised content.
    """
    file = _place(address) if file is None else file
    if file.is_file():
        digest = sha256_of(file)
        if not _broken(_promised(address, file), digest):
            return file, digest
    else:
        digest = ''
    lock = beside(file, 'lock')
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    except OSError as error:
        raise UserError(
            f'{key}: {file.parent} cannot be written ({error.strerror}); set MMSPD_HOME to another '
            'folder.'
        ) from error
    with waiting_lock(lock):
        return file, _fetch_locked(address, file, digest, key, cure)


def _fetch_locked(address: Address, file: Path, found: str, key: str, cure: str) -> str:
    """Download a file whose cached content, with the SHA-256 ``found``, is missing or broken."""
    promised = _promised(address, file)
    digest = sha256_of(file) if file.is_file() else ''
    if digest and not _broken(promised, digest):  # another process has downloaded it meanwhile
        return digest
    if digest == found != '':
        from mmengine.logging import print_log  # slow to import

        print_log(
            f'{file} has the SHA-256 {digest}, but {_broken(promised, digest)[0]} is expected, so '
            'it is downloaded again.',
            'current',
            logging.WARNING,
        )
    digest = _download(address, file, promised, key, cure)
    if not promised:
        record(file, digest)
    return digest


def _place(address: Address) -> Path:
    """Return the file of an address in the cache."""
    name = Path(urlsplit(address.url).path).name
    if not digest_in_name(unquote(name)):  # two addresses may have one name
        name = f'{hashlib.sha256(address.url.encode()).hexdigest()[:8]}_{name}'
    return cache_folder() / name


def _promised(address: Address, file: Path) -> Sequence[str]:
    """Return the digits with which the SHA-256 of a file must start."""
    return address.digests or tuple(filter(None, [recorded(file)]))


def _broken(promised: Sequence[str], digest: str) -> Sequence[str]:
    """Return the promised digests that the content does not have."""
    return [digits for digits in promised if not digest.startswith(digits)]


def _download(address: Address, file: Path, promised: Sequence[str], key: str, cure: str) -> str:
    """Download a file, check its content, and return its SHA-256."""
    part = PartialFile(file, address.url)
    with atomic_path(file) as temporary:
        continued = _receive(part, address, key, cure)
        digest = sha256_of(part.path)
        broken = _broken(promised, digest)
        if broken and continued:  # the server has mixed two versions
            part.discard()
            _receive(part, address, key, cure)
            digest = sha256_of(part.path)
            broken = _broken(promised, digest)
        if broken:
            part.discard()
            source = 'expected' if address.digests else 'recorded from the first download'
            raise UserError(
                f'{key}: {address.url} has the SHA-256 {digest}, but {broken[0]} is {source}; do '
                'not use this file, and ask its publisher.'
            )
        os.replace(part.path, temporary)
    part.discard()
    return digest


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but to encrypted addresses only, if the address demands this."""

    def __init__(self, address: Address, key: str) -> None:
        self.schemes = ('https',) if address.encrypted else ('https', 'http')
        self.key = key

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if urlsplit(newurl).scheme not in self.schemes:
            raise UserError(
                f'{self.key}: {req.full_url} redirects to {newurl}, which is not encrypted; add '
                '#sha256= and the SHA-256 of the file to the address.'
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _receive(part: PartialFile, address: Address, key: str, cure: str) -> bool:
    """Download a file or the rest of it; return whether an older part was continued."""
    headers = part.request_headers()
    try:
        response = _open(address, headers, key)
    except HTTPError as error:
        if not headers or error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _failure(part, address, key, cure, error) from error
        part.discard()
        return _receive(part, address, key, cure)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise _failure(part, address, key, cure, error) from error
    with response:
        mode = part.receive_into(response)
        try:
            _save(response, part.path, mode)
        except _LostError as error:
            raise _failure(part, address, key, cure, error.reason) from error
    return mode == 'ab'


def _open(address: Address, headers: Dict[str, str], key: str) -> Any:
    request = urllib.request.Request(address.url, headers={'User-Agent': 'mmspd', **headers})
    opener = urllib.request.build_opener(_Redirects(address, key))
    response = opener.open(request, timeout=TIMEOUT)
    if response.headers.get_content_type() == 'text/html':
        response.close()
        raise UserError(
            f'{key}: {address.url} is a web page; give the address of the file that the page '
            'links to.'
        )
    return response


class _LostError(Exception):
    """A connection that ended before the end of the file."""

    def __init__(self, reason: Exception) -> None:
        super().__init__()
        self.reason = reason


def _save(response: Any, file: Path, mode: str) -> None:
    """Write the content of a response to a file."""
    stated = response.headers.get('Content-Length', '')
    length = int(stated) if stated.isdecimal() else None
    # disable=None: no bar if the output is not a terminal
    bar = tqdm(total=length, disable=None, unit='B', unit_scale=True, leave=False)
    received = 0
    with file.open(mode) as out, bar:
        while chunk := _read(response):
            out.write(chunk)
            received += len(chunk)
            bar.update(len(chunk))
    if length is not None and received != length:  # Python does not notice it
        raise _LostError(URLError(f'only {received} of {length} bytes arrived'))


def _read(response: Any) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _LostError(error) from error


def _failure(
    part: PartialFile, address: Address, key: str, cure: str, error: Exception
) -> UserError:
    name = address.url.rpartition('/')[2]
    if isinstance(error, HTTPError):
        reason = f'HTTP status {error.code}'
    elif isinstance(error, URLError) and isinstance(error.reason, str):
        reason = error.reason
    else:
        reason = type(error).__name__
    again = 'repeat the command to continue the download, or ' if part.size else ''
    if not again:
        part.discard()
    return UserError(
        f'{key}: {name} cannot be downloaded ({reason}); {again}download {address.url} on another '
        f'machine and {cure}.'
    )
