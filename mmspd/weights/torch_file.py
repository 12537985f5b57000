"""Safe reading and atomic writing of ``torch.save`` files."""

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
STREAM = (
    b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'  # older: five pickles; the first is a magic number
)
STREAM_PICKLES = 5
# Finds the name of the refused class in an error of the safe loader. The text of the error depends
# on the version of PyTorch.
_NOT_ALLOWED = re.compile(
    r'(?:GLOBAL|[Uu]nsupported class|unrecognized function <?function) `?([\w.]+)'
)
_AS_TENSORS = 'save it again as a plain state dict, torch.save(network.state_dict(), path)'
_AGAIN = 'copy or download it again'
_DAMAGED = 'it is truncated or damaged', _AGAIN


def read_torch_file(path: Union[str, Path], key: str) -> Any:
    """Read a ``torch.save`` file with the safe loader, which runs no code from the file.

    Args:
        path: The file, in the zip format or in the older stream format.
        key: The config key or argument with the path, for the error message.

    Returns:
        The content of the file, with tensors on the CPU.

    Raises:
        UserError: The file was not written by ``torch.save``, is damaged, or needs more than
            tensors and plain values.
    """
    try:
        # Before 2.6, PyTorch runs code from a tar file even with weights_only.
        if tarfile.is_tarfile(path):
            raise tarfile.TarError
        return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # torch raises many types for a bad file
        raise unreadable(path, key, error) from error


def unreadable(path: Union[str, Path], key: str, error: Exception) -> UserError:
    """Make the error for a file that cannot be read.

    Args:
        path: The file.
        key: The config key or argument with the path, for the message.
        error: The exception that was raised when the file was read.

    Returns:
        The error to raise instead of ``error``.
    """
    if isinstance(error, (PermissionError, FileNotFoundError, IsADirectoryError)):
        fault = str(error.strerror).lower()
        return UserError(
            f'{key}: {path} cannot be read: {fault}; check the path and its permissions.'
        )
    reason, cure = _explain(Path(path), error)
    return UserError(f'{key}: {path} cannot be read safely as weights: {reason}; {cure}.')


def _explain(path: Path, error: Exception) -> Tuple[str, str]:
    """Return the reason why a file cannot be read, and the fix."""
    if tarfile.is_tarfile(path):
        reason = "it is a tar file (PyTorch's first format, or an archive)"
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
        return 'it is a pickle that torch.save did not write', _AS_TENSORS
    if not start:
        return 'it is empty', _AGAIN
    return 'torch.save did not write it', 'choose a file that holds weights'


def _has_all_pickles(path: Path) -> bool:
    """Tell whether the pickles of a stream file are complete, without running them."""
    with path.open('rb') as file:
        try:
            for _ in range(STREAM_PICKLES):
                for _ in pickletools.genops(file):
                    pass
        except ValueError:
            return False
    return True


def save_torch_file(content: Dict[str, Any], path: Union[str, Path]) -> None:
    """Write a file with ``torch.save``; a failure leaves no partial file.

    Args:
        content: The content to save.
        path: The file. Missing folders are created; an existing file is replaced.

    Raises:
        UserError: The file cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open('wb') as file:
        torch.save(content, file)
