"""Read the variables of a TensorFlow checkpoint without TensorFlow.

A checkpoint (version 2) has the files PREFIX.index and PREFIX.data-00000-of-00001. The index is a
table of Protocol Buffers messages with the type, shape, place and checksum of each variable. The
data files hold the numbers.
"""

import math
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from mmspd.errors import UserError
from mmspd.weights.addresses import TF_INDEX
from mmspd.weights.crc32c import masked_crc32c
from mmspd.weights.files import find_weights
from mmspd.weights.tf_table import CheckpointError, read_table, read_varint

__all__ = ['read_tf_checkpoint']

MAX_INDEX_BYTES = 2**24
MAX_SHARDS = 1000
MAX_DIMENSIONS = 8
MAX_SIDE = 2**31
#: TensorFlow's numbers of types.
_DTYPES = {
    1: torch.float32,
    2: torch.float64,
    3: torch.int32,
    9: torch.int64,
    14: torch.bfloat16,
    19: torch.float16,
}
# Types of the fields of Protocol Buffers messages.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Message = Dict[int, List[Any]]


class _Variable(NamedTuple):
    """The type, shape and place of a variable.

    Attributes:
        dtype: Type of the numbers.
        shape: Shape as TensorFlow stores it.
        shard: Number of the data file.
        offset: Position in the data file.
        size: Size in bytes.
        checksum: Checksum of the bytes, or ``None`` if none is stored.
    """

    dtype: torch.dtype
    shape: Tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: Optional[int]


def read_tf_checkpoint(path: str, key: str, wanted: Callable[[str], bool]) -> Dict[str, Tensor]:
    """Read variables of a TensorFlow checkpoint.

    No more data are read than the files contain. All stored checksums are compared.

    Args:
        path: The file PREFIX.index. The data files must be beside it.
        key: The config key or argument with the path, for error messages.
        wanted: Function that tells from the name of a variable whether it is read.

    Returns:
        The variables under the names and with the shapes of TensorFlow.

    Raises:
        UserError: A file is missing, damaged, or has variables that cannot be read.
    """
    try:
        shards, variables = _read_index(path, wanted)
        files = {
            number: _find_shard(path, number, shards, key)
            for number in sorted({variable.shard for variable in variables.values()})
        }
        return _read_variables(files, variables)
    except CheckpointError as error:
        reason = str(error)[0].lower() + str(error)[1:].rstrip('.')
        raise UserError(
            f'{key}: {path} cannot be read safely as weights: {reason}; copy or download all files '
            'of the checkpoint again.'
        ) from error
    except OSError as error:
        raise UserError(
            f'{key}: {error.filename or path} cannot be read: {str(error.strerror).lower()}; check '
            'the path and its permissions.'
        ) from error


def _find_shard(path: str, number: int, shards: int, key: str) -> Path:
    name = f'{path.removesuffix(TF_INDEX)}.data-{number:05d}-of-{shards:05d}'
    return find_weights(name, key, f'put it beside {Path(path).name}')


def _read_index(path: str, wanted: Callable[[str], bool]) -> Tuple[int, Dict[str, _Variable]]:
    """Return the number of data files, and the wanted variables."""
    with open(path, 'rb') as file:
        data = file.read(MAX_INDEX_BYTES + 1)
    if len(data) > MAX_INDEX_BYTES:
        raise CheckpointError(f'It is larger than {MAX_INDEX_BYTES} bytes.')
    entries = read_table(data)
    first, header = next(entries, (None, b''))
    if first != b'':
        raise CheckpointError('It has no header.')
    shards = _read_header(header)
    variables = {}
    for raw, value in entries:
        name = _decode(raw)
        if wanted(name):
            variables[name] = _read_entry(name, value, shards)
    return shards, variables


def _decode(raw: bytes) -> str:
    name = raw.decode(errors='replace')
    if not name.isprintable() or '\ufffd' in name:
        raise CheckpointError('It has a name that cannot be printed.')
    return name


def _read_header(header: bytes) -> int:
    """Return the number of data files."""
    message = _read_message(header)
    if _number(message, 2):
        raise CheckpointError('It was saved on a machine of the other byte order.')
    shards = _number(message, 1)
    if not 1 <= shards <= MAX_SHARDS:
        raise CheckpointError(f'It has {shards} data files.')
    return shards


def _read_entry(name: str, value: bytes, shards: int) -> _Variable:
    message = _read_message(value)
    kind = _number(message, 1)
    if kind not in _DTYPES:
        raise CheckpointError(f'Its variable {name} has the type number {kind} of TensorFlow.')
    if 7 in message:
        raise CheckpointError(f'Its variable {name} is stored in slices.')
    dtype = _DTYPES[kind]
    shape = _read_shape(name, message)
    size, shard = _number(message, 5), _number(message, 3)
    if size != math.prod(shape) * dtype.itemsize or shard >= shards:
        raise CheckpointError(f'Its variable {name} has an impossible size or place.')
    checksum = None if 6 not in message else _number(message, 6, _FIXED32)
    return _Variable(dtype, shape, shard, _number(message, 4), size, checksum)


def _read_shape(name: str, message: Message) -> Tuple[int, ...]:
    shapes = [_read_message(_content(shape)) for shape in message.get(2, [])]
    sides = [
        _number(_read_message(_content(dim)), 1) for shape in shapes for dim in shape.get(2, [])
    ]
    if len(shapes) > 1 or len(sides) > MAX_DIMENSIONS or any(side > MAX_SIDE for side in sides):
        raise CheckpointError(f'Its variable {name} has an impossible shape.')
    return tuple(sides)


def _read_variables(files: Dict[int, Path], variables: Dict[str, _Variable]) -> Dict[str, Tensor]:
    # several variables at one place could fill the memory
    if sum(v.size for v in variables.values()) > sum(f.stat().st_size for f in files.values()):
        raise CheckpointError('It declares more data than its data files contain.')
    state = {}
    for shard, path in files.items():
        with path.open('rb') as file:
            for name, variable in variables.items():
                if variable.shard == shard:
                    state[name] = _read_variable(file, name, variable)
    return state


def _read_variable(file: BinaryIO, name: str, variable: _Variable) -> Tensor:
    size = file.seek(0, 2)
    if variable.offset + variable.size > size:
        raise CheckpointError(f'Its data file lacks the variable {name}.')
    file.seek(variable.offset)
    data = bytearray(file.read(variable.size))
    if variable.checksum not in (None, masked_crc32c(data)):
        raise CheckpointError(f'The checksum of its variable {name} differs.')
    if not data:
        return torch.zeros(variable.shape, dtype=variable.dtype)
    return torch.frombuffer(data, dtype=variable.dtype).reshape(variable.shape)


def _read_message(data: bytes) -> Message:
    """Read a message; returns a dict from the number of a field to its types and values."""
    message: Message = {}
    for number, kind, value in _read_fields(data):
        message.setdefault(number, []).append((kind, value))
    return message


def _read_fields(data: bytes) -> Iterator[Tuple[int, int, Any]]:
    position = 0
    while position < len(data):
        tag, position = read_varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, position = read_varint(data, position)
            yield number, kind, value
            continue
        if kind == _BYTES:
            length, position = read_varint(data, position)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise CheckpointError('It is truncated or damaged.')
        content = data[position : position + length]
        position += length
        if position > len(data):
            raise CheckpointError('It is truncated or damaged.')
        yield number, kind, content if kind == _BYTES else int.from_bytes(content, 'little')


def _number(message: Message, field: int, kind: int = _VARINT) -> int:
    """Return the number in a field; a field that is left out is 0."""
    found, value = message.get(field, [(kind, 0)])[-1]
    if found != kind:
        raise CheckpointError('It is truncated or damaged.')
    return value


def _content(entry: Tuple[int, Any]) -> bytes:
    """Return the bytes of a field."""
    kind, value = entry
    if kind != _BYTES:
        raise CheckpointError('It is truncated or damaged.')
    return value
