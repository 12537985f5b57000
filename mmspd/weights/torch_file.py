"""Safe reading and atomic writing of ``torch.save`` files."""

import io
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, List, Tuple, Union

import torch
from torch import Tensor

from mmspd.errors import UserError
from mmspd.utils.files import atomic_path
from mmspd.weights.pickled import Storage, read_pickle

__all__ = ['read_torch_file', 'save_torch_file']

ZIP = b'PK\x03\x04'  # torch.save since PyTorch 1.6
STREAM = (
    b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'  # older: five pickles; the first is a magic number
)
STREAM_VERSION = 1001
_TAR_MARK = slice(257, 262)  # of a tar header
_AS_TENSORS = 'save it again as a plain state dict, torch.save(network.state_dict(), path)'
_AGAIN = 'copy or download it again'


def read_torch_file(path: Union[str, Path], key: str) -> Any:
    """Read a ``torch.save`` file without running code from the file.

    PyTorch's own loader is not used. See :mod:`mmspd.weights.pickled` for the reason.

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
        file = open(path, 'rb')  # noqa: SIM115 (closed below)
    except OSError as error:
        raise UserError(
            f'{key}: {path} cannot be read: {str(error.strerror).lower()}; check the path and its '
            'permissions.'
        ) from error
    with file:
        start = file.read(512)
        reader = next((read for mark, read in _READERS.items() if start.startswith(mark)), None)
        if reader is None:
            raise _unreadable(path, key, *_explain(start))
        return _checked(reader, file, key)


def _checked(reader: Callable[[BinaryIO], Any], file: BinaryIO, key: str) -> Any:
    """Run a reader; raise a UserError for all its errors."""
    path = file.name
    try:
        return reader(file)
    except pickle.UnpicklingError as error:
        raise _unreadable(path, key, str(error), _AS_TENSORS) from error
    except _OtherArchiveError as error:
        raise _unreadable(path, key, *error.args) from error
    except MemoryError as error:
        raise _unreadable(path, key, 'it does not fit into the memory', 'free memory') from error
    except Exception as error:  # a damaged file raises many types of errors
        raise _unreadable(path, key, 'it is truncated or damaged', _AGAIN) from error


def _unreadable(path: Union[str, Path], key: str, reason: str, cure: str) -> UserError:
    reason = reason[:1].lower() + reason[1:].rstrip('.')
    return UserError(f'{key}: {path} cannot be read safely as weights: {reason}; {cure}.')


class _OtherArchiveError(Exception):
    """Raised for a zip file that is no weights file; contains the reason and the fix."""


def _size(file: BinaryIO) -> int:
    size = file.seek(0, 2)
    file.seek(0)
    return size


def _zeros(count: int) -> Tensor:
    return torch.zeros(count, dtype=torch.uint8)


def _read_zip(file: BinaryIO) -> Any:
    """Read the zip format: a pickle and one entry for each storage."""
    size = _size(file)
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        roots = [name[: -len('data.pkl')] for name in names if name.endswith('/data.pkl')]
        if not roots:
            raise _OtherArchiveError('It is an archive.', 'unpack it')
        if any('/code/' in name or name.endswith('/constants.pkl') for name in names):
            raise _OtherArchiveError('It is a TorchScript program.', _AS_TENSORS)
        # compressed or shared entries could fill the memory
        if sum(entry.file_size for entry in archive.infolist()) > size:
            raise pickle.UnpicklingError('It declares more data than it contains.')
        order = roots[0] + 'byteorder'
        if order in names and archive.read(order).decode() != sys.byteorder:
            raise pickle.UnpicklingError('It was saved on a machine of the other byte order.')
        data = io.BytesIO(archive.read(roots[0] + 'data.pkl'))
        return read_pickle(data, _ZipStorages(archive, roots[0]))


class _ZipStorages:
    """Reads the storages of a zip file.

    Args:
        archive: The file.
        root: The folder of the entries.
    """

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        self._archive = archive
        self._root = root
        self._loaded: Dict[str, Tensor] = {}

    def __call__(self, identifier: Tuple[Any, ...]) -> Storage:
        dtype, key, _, count = identifier
        name = f'{self._root}data/{key}'
        if name not in self._loaded:
            data = bytearray(self._archive.read(name))
            self._loaded[name] = torch.frombuffer(data, dtype=torch.uint8) if data else _zeros(0)
        if self._loaded[name].numel() != count * dtype.itemsize:
            raise ValueError('A storage is incomplete.')
        return Storage(self._loaded[name], dtype)


def _read_stream(file: BinaryIO) -> Any:
    """Read the stream format: five pickles, followed by the bytes of all storages."""
    size = _size(file)
    read_pickle(file)  # the magic number, which was checked
    if read_pickle(file) != STREAM_VERSION:
        raise ValueError('The version is unknown.')
    if read_pickle(file)['little_endian'] != (sys.byteorder == 'little'):
        raise pickle.UnpicklingError('It was saved on a machine of the other byte order.')
    storages = _StreamStorages(size)
    content = read_pickle(file, storages)
    storages.fill(file, read_pickle(file))
    return content


class _StreamStorages:
    """Creates the storages of a stream file, whose bytes follow after the pickles.

    Args:
        size: Size of the file.
    """

    def __init__(self, size: int) -> None:
        self._left = size
        self._made: Dict[str, Storage] = {}

    def __call__(self, identifier: Tuple[Any, ...]) -> Storage:
        dtype, key, _, count, *view = identifier
        if view not in ([], [None]):
            raise pickle.UnpicklingError('It was saved by PyTorch before 0.4.')
        if type(key) is not str or type(count) is not int or count < 0:
            raise TypeError('A storage has no name or size.')
        if key not in self._made:
            self._left -= count * dtype.itemsize
            if self._left < 0:
                raise ValueError('The storages are larger than the file.')
            self._made[key] = Storage(_zeros(count * dtype.itemsize), dtype)
        known = self._made[key]
        if (known.dtype, known.data.numel()) != (dtype, count * dtype.itemsize):
            raise ValueError('A storage has two sizes.')
        return known

    def fill(self, file: BinaryIO, keys: List[str]) -> None:
        """Read the bytes of all storages.

        Args:
            file: The file after the last pickle.
            keys: Names of the storages in the order of the file.

        Raises:
            ValueError: A storage is missing or incomplete.
        """
        if sorted(keys) != sorted(self._made):
            raise ValueError('The names of the storages differ.')
        for key in keys:
            storage = self._made[key]
            size = int.from_bytes(file.read(8), sys.byteorder) * storage.dtype.itemsize
            read = file.readinto(storage.data.numpy().data)  # type: ignore[attr-defined]
            if not size == read == storage.data.numel():
                raise ValueError('A storage is incomplete.')


_READERS = {ZIP: _read_zip, STREAM: _read_stream}


def _explain(start: bytes) -> Tuple[str, str]:
    """Return the reason why a file of another format cannot be read, and the fix."""
    if start[_TAR_MARK] == b'ustar':
        reason = "it is a tar file (PyTorch's first format, or an archive)"
        return reason, f'unpack it, or {_AS_TENSORS}'
    if start.lstrip().startswith(b'<'):
        return 'it is a web page', 'download the file that the page links to'
    if STREAM.startswith(start[: len(STREAM)]) and start:
        return 'it is truncated or damaged', _AGAIN
    if start.startswith(b'\x80'):
        return 'it is a pickle that torch.save did not write', _AS_TENSORS
    if not start:
        return 'it is empty', _AGAIN
    return 'torch.save did not write it', 'choose a file that holds weights'


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
