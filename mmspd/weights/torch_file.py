"""Files of tensors: read without running code, written whole or not at all."""

import pickle
import pickletools
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Dict, Tuple, Union

import torch

from mmspd.errors import UserError
from mmspd.utils.files import atomic_path

__all__ = ['read_torch_file', 'save_torch_file', 'unreadable']

ZIP = b'PK\x03\x04'  # torch.save since PyTorch 1.6
STREAM = b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'  # before: five pickles, a magic number first
STREAM_PICKLES = 5
# How the versions of PyTorch name what their safe loader does not allow.
_NOT_ALLOWED = re.compile(
    r'(?:GLOBAL|[Uu]nsupported class|unrecognized function <?function) `?([\w.]+)'
)
_AS_TENSORS = 'have it saved again as a plain state dict, torch.save(network.state_dict(), path)'
_AGAIN = 'copy or download it again'
_DAMAGED = 'it is truncated or damaged', _AGAIN


def read_torch_file(path: Union[str, Path], key: str) -> Any:
    """Read a file of ``torch.save`` with the safe loader, which runs no code of the file.

    Args:
        path: the file, in the zip format or the stream format that preceded it.
        key: the config key or argument that named it, for the error message.

    Raises:
        UserError: the file is no such file, is damaged, or needs more than tensors and plain
            values.
    """
    try:
        # PyTorch before 2.6 would run code from a tar file in spite of weights_only
        if tarfile.is_tarfile(path):
            raise tarfile.TarError
        return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # torch raises a dozen types for a file that is no checkpoint
        raise unreadable(path, key, error) from error


def unreadable(path: Union[str, Path], key: str, error: Exception) -> UserError:
    """Say in a sentence why a file could not be read.

    Args:
        path: the file.
        key: the config key or argument that named it.
        error: what reading it raised.

    Returns:
        The error to raise instead.
    """
    if isinstance(error, (PermissionError, FileNotFoundError, IsADirectoryError)):
        return UserError(f'{key}: {path} cannot be read: {str(error.strerror).lower()}.')
    reason, cure = _explain(Path(path), error)
    return UserError(
        f'{key}: {path} is not a weights file that can be read safely: {reason}; {cure}.'
    )


def _explain(path: Path, error: Exception) -> Tuple[str, str]:
    """Say why a file could not be read, and what to do."""
    if tarfile.is_tarfile(path):
        reason = "it is a tar file, PyTorch's first format or an archive"
        return reason, f'unpack it, or {_AS_TENSORS}'
    with path.open('rb') as file:
        start = file.read(64)
    if start.startswith(ZIP) and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if not any(name.endswith('data.pkl') for name in names):
            return 'it is an archive', 'unpack it'
        if any('/code/' in name for name in names):
            return 'it is a TorchScript program', _AS_TENSORS
    elif start.startswith(ZIP) or (start.startswith(STREAM) and not _has_all_pickles(path)):
        return _DAMAGED
    if start.startswith((ZIP, STREAM)):
        if not isinstance(error, pickle.UnpicklingError):
            return _DAMAGED
        needed = _NOT_ALLOWED.search(str(error))
        name = needed[1] if needed else 'more than tensors and plain values'
        return f'it needs {name}, which could run code', _AS_TENSORS
    if start.lstrip().startswith(b'<'):
        return 'it is a web page', 'download the file that the page links to'
    if start.startswith(b'\x80'):
        return 'it is a pickle of something else', _AS_TENSORS
    return ('it is in no format of torch.save' if start else 'it is empty'), _AGAIN


def _has_all_pickles(path: Path) -> bool:
    """Whether the pickles of a stream file are whole; they are looked at, not run."""
    with path.open('rb') as file:
        try:
            for _ in range(STREAM_PICKLES):
                for _ in pickletools.genops(file):
                    pass
        except ValueError:
            return False
    return True


def save_torch_file(content: Dict[str, Any], path: Union[str, Path]) -> None:
    """Write a file by ``torch.save``, with its folder; a failure leaves no part of it.

    Args:
        content: what to save.
        path: the file; one that exists is replaced.

    Raises:
        UserError: the file cannot be written there.
    """
    with atomic_path(path) as temporary, temporary.open('wb') as file:
        torch.save(content, file)
