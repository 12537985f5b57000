"""Check the addresses and names of weights files."""

import re
from pathlib import Path
from typing import NamedTuple, Tuple
from urllib.parse import unquote, urlsplit

from mmspd.errors import UserError

__all__ = ['TF_INDEX', 'Address', 'digest_in_name', 'is_other_tf_part', 'parse_address']

#: Suffix of the file that stands for a TensorFlow checkpoint.
TF_INDEX = '.index'

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
_OTHER_TF_PART = re.compile(r'\.(?:meta|data-\d{5}-of-\d{5})$')
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
        >>> from mmspd.weights.addresses import digest_in_name
        >>> digest_in_name('vgg19-dcbb9e9d.pth'), digest_in_name('epoch-20230131.pth')
        ('dcbb9e9d', '')
    """
    match = _NAMED_DIGEST.search(name)
    return match[1].lower() if match else ''


def is_other_tf_part(path: str) -> bool:
    """Tell whether a file is a part of a TensorFlow checkpoint, but not its index.

    Args:
        path: The file.

    Returns:
        True for the names of data files and of the training graph.
    """
    return _OTHER_TF_PART.search(path) is not None


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
