"""Download weights files to torch's cache, and check their content."""

import hashlib
import http.client
import logging
import re
import urllib.request
from pathlib import Path
from typing import Any, List, NamedTuple, Tuple
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

import torch
from mmengine.logging import print_log

from mmspd.errors import UserError
from mmspd.utils.files import atomic_path, sha256_of

__all__ = ['Address', 'cache_folder', 'digest_in_name', 'fetch', 'parse_address']

TIMEOUT = 60  # seconds without data after which a download ends
_CHUNK = 2**20
# torchvision, timm and OpenMMLab put the first digits of the SHA-256 into the name of a file:
# vgg19-dcbb9e9d.pth. Digits such as 20230131 are a date.
_NAMED_DIGEST = re.compile(r'-(?!(?:19|20)\d{6,}\.)([0-9a-fA-F]{8,64})(?:\.\w+){1,2}$')
# Schemes of MMEngine, and its functions that return the addresses behind the names.
_LISTS = {
    'torchvision': 'get_torchvision_models',
    'modelzoo': 'get_torchvision_models',
    'open-mmlab': 'get_external_models',
    'openmmlab': 'get_external_models',
    'mmcls': 'get_mmcls_models',
}
_FRAGMENT = re.compile(r'sha256=([0-9a-fA-F]{64})')


class Address(NamedTuple):
    """The address of a file, and the digits with which the SHA-256 of its content must start.

    Attributes:
        url: The address with the scheme https, http or file.
        digests: Digits from the end of the address (``#sha256=...``) and from the file's name.
        encrypted: Whether the file must come over https only.
    """

    url: str
    digests: Tuple[str, ...]
    encrypted: bool


def digest_in_name(name: str) -> str:
    """Return the digits of a SHA-256 in the name of a file, or an empty string.

    Args:
        name: The name, such as ``vgg19-dcbb9e9d.pth``.

    Returns:
        At least eight hexadecimal digits in lower case, or an empty string.

    Examples:
        >>> from mmspd.weights.download import digest_in_name
        >>> digest_in_name('vgg19-dcbb9e9d.pth'), digest_in_name('epoch-20230131.pth')
        ('dcbb9e9d', '')
    """
    match = _NAMED_DIGEST.search(name)
    return match[1].lower() if match else ''


def parse_address(source: str, key: str) -> Address:
    """Split the address of a weights file into its parts and check them.

    Args:
        source: An address with the scheme https, http or file, or a name in one of MMEngine's
            lists, such as ``torchvision://resnet50``. The SHA-256 of the file may follow after
            ``#sha256=``.
        key: The config key or argument with the address, for error messages.

    Returns:
        The address.

    Raises:
        UserError: The address names no file, its scheme or fragment is unknown, or it has the
            scheme http without a SHA-256.
    """
    source, mark, fragment = source.partition('#')
    given = _FRAGMENT.fullmatch(fragment)
    if mark and given is None:
        raise UserError(
            f'{key}: the address {source} ends with #{fragment}; write #sha256= and the 64 digits '
            'of the SHA-256, or omit this part.'
        )
    url = _in_list(source, key)
    try:
        scheme, server, path = urlsplit(url)[:3]
    except ValueError:
        scheme, server, path = '', '', ''
    name = Path(path).name
    if scheme not in ('http', 'https', 'file') or not name or 'google' in server:
        raise UserError(
            f'{key}: {source} cannot be downloaded automatically; download the file manually and '
            'give its path.'
        )
    if scheme == 'http' and given is None:
        raise UserError(
            f'{key}: {source} is not encrypted, so the file could be replaced on its way; use '
            'https, or add #sha256= and the SHA-256 of the file to the address.'
        )
    digests = (given[1].lower() if given else '', digest_in_name(unquote(name)))
    return Address(url, tuple(filter(None, digests)), encrypted=given is None)


def _in_list(source: str, key: str) -> str:
    """Return the address behind a name such as ``torchvision://resnet50``."""
    scheme, _, name = source.partition('://')
    if scheme not in _LISTS:
        return source
    from mmengine.runner import checkpoint  # slow to import

    models = getattr(checkpoint, _LISTS[scheme])()
    name = checkpoint.get_deprecated_model_names().get(name, name)
    if name not in models:
        raise UserError(
            f'{key}: MMEngine knows no weights {source}; check the name, or give the address of '
            'the file.'
        )
    return models[name]


def cache_folder() -> Path:
    """Return the folder in which torch keeps downloaded weights."""
    return Path(torch.hub.get_dir(), 'checkpoints')


def fetch(address: Address, key: str, cure: str) -> Tuple[Path, str]:
    """Download a file to torch's cache, unless the cache has it.

    A file in the cache with another SHA-256 than the address promises is downloaded again.

    Args:
        address: The address.
        key: The config key or argument with the address, for error messages.
        cure: The fix after a download on another machine, for error messages.

    Returns:
        The file in the cache, and its SHA-256.

    Raises:
        UserError: The file cannot be downloaded, or its content is not the promised content.
    """
    file = _place(address)
    if file.is_file():
        digest = sha256_of(file)
        if not _broken(address, digest):
            return file, digest
        print_log(
            f'{file} has the SHA-256 {digest}, but {_broken(address, digest)[0]} is expected, so '
            'it is downloaded again.',
            'current',
            logging.WARNING,
        )
    with _open(address, key, cure) as response, atomic_path(file) as temporary:
        digest = _save(response, temporary, address, key, cure)
        for promised in _broken(address, digest):
            raise UserError(
                f'{key}: {address.url} has the SHA-256 {digest}, but {promised} is expected; do '
                'not use this file, and ask its publisher.'
            )
    return file, digest


def _place(address: Address) -> Path:
    """Return the file of an address in the cache."""
    name = Path(urlsplit(address.url).path).name
    if not digest_in_name(unquote(name)):  # two addresses may have one name
        name = f'{hashlib.sha256(address.url.encode()).hexdigest()[:8]}_{name}'
    return cache_folder() / name


def _broken(address: Address, digest: str) -> List[str]:
    """Return the promised digests that the content does not have."""
    return [promised for promised in address.digests if not digest.startswith(promised)]


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


def _open(address: Address, key: str, cure: str) -> Any:
    request = urllib.request.Request(address.url, headers={'User-Agent': 'mmspd'})
    opener = urllib.request.build_opener(_Redirects(address, key))
    try:
        response = opener.open(request, timeout=TIMEOUT)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise _failure(address, key, cure, error) from error
    if response.headers.get_content_type() == 'text/html':
        response.close()
        raise UserError(
            f'{key}: {address.url} is a web page; give the address of the file that the page '
            'links to.'
        )
    return response


def _save(response: Any, file: Path, address: Address, key: str, cure: str) -> str:
    """Write the content to a file and return its SHA-256."""
    digest, size = hashlib.sha256(), 0
    with file.open('wb') as out:
        while True:
            try:
                chunk = response.read(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise _failure(address, key, cure, error) from error
            if not chunk:
                break
            out.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    expected = response.headers.get('Content-Length', '')
    if expected.isdecimal() and size != int(expected):  # Python does not notice it
        lost = URLError(f'only {size} of {expected} bytes arrived')
        raise _failure(address, key, cure, lost)
    return digest.hexdigest()


def _failure(address: Address, key: str, cure: str, error: Exception) -> UserError:
    name = address.url.rpartition('/')[2]
    if isinstance(error, HTTPError):
        reason = f'HTTP status {error.code}'
    elif isinstance(error, URLError) and isinstance(error.reason, str):
        reason = error.reason
    else:
        reason = type(error).__name__
    return UserError(
        f'{key}: {name} cannot be downloaded ({reason}); download {address.url} on another machine '
        f'and {cure}.'
    )
