"""Read arrays of numbers from .npz files without running code of the file."""

import io
import math
import zipfile
from typing import Callable, Dict

import numpy as np
import torch
from torch import Tensor

from mmspd.errors import UserError

__all__ = ['read_npz']

#: Compressed weights are at most a few times smaller than the weights.
MAX_EXPANSION = 10
MAX_NAME = 300
_KINDS = 'fiub'  # floating point, integer, boolean


def read_npz(path: str, key: str, wanted: Callable[[str], bool]) -> Dict[str, Tensor]:
    """Read arrays from a file of ``numpy.savez`` or ``numpy.savez_compressed``.

    Args:
        path: The file.
        key: The config key or argument with the path, for error messages.
        wanted: Function that tells from the name of an array whether it is read.

    Returns:
        The arrays as tensors under their names.

    Raises:
        UserError: The file is damaged, or has something other than arrays of numbers.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from mmspd.weights.npz import read_npz
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f'{folder}/w.npz', **{'a/weights': np.ones(2), 'step': np.ones(1)})
        ...     read_npz(f'{folder}/w.npz', 'weights', lambda name: name.startswith('a/'))
        {'a/weights': tensor([1., 1.], dtype=torch.float64)}
    """
    try:
        with open(path, 'rb') as file, zipfile.ZipFile(file) as archive:
            limit = MAX_EXPANSION * file.seek(0, 2)
            # entries that are compressed or overlap could fill the memory
            if sum(entry.file_size for entry in archive.infolist()) > limit:
                raise ValueError('The arrays are too large.')
            arrays = {entry.filename.removesuffix('.npy'): entry for entry in archive.infolist()}
            if len(arrays) < len(archive.infolist()) or not all(map(_is_name, arrays)):
                raise ValueError('A name occurs twice, or cannot be printed.')
            return {
                name: _read_array(archive.read(entry))
                for name, entry in arrays.items()
                if wanted(name)
            }
    except OSError as error:
        raise UserError(
            f'{key}: {path} cannot be read: {str(error.strerror).lower()}; check the path and its '
            'permissions.'
        ) from error
    except Exception as error:  # a damaged file raises many types of errors
        raise UserError(
            f'{key}: {path} cannot be read safely as weights: it is damaged, or has something '
            'other than arrays of numbers; write it again with numpy.savez.'
        ) from error


def _is_name(name: str) -> bool:
    return name.isprintable() and len(name) <= MAX_NAME


def _read_array(data: bytes) -> Tensor:
    """Read an array; ``numpy.load`` would reserve memory for any size that the file declares."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, is_fortran, dtype = read(stream)
    numbers = stream.read()
    if dtype.kind not in _KINDS or len(numbers) != math.prod(shape) * dtype.itemsize:
        raise ValueError('The array has another type or size.')
    array = np.frombuffer(numbers, dtype).reshape(shape, order='F' if is_fortran else 'C')
    return torch.from_numpy(array.astype(dtype.newbyteorder('='), order='C'))
