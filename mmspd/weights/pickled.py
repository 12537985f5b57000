"""Read pickles of tensors, arrays and plain values; a pickle can call nothing else.

Python's ``pickle`` calls any function that a file names. PyTorch's safe loader calls the functions
of an allow-list, with any arguments. The functions of NumPy on such a list interpret memory, so a
file could damage the memory of the process. This module does not use either of them. It reads
the operations of a pickle with ``pickletools`` and runs only the few operations that weights need.
Every name in a file stands for a function of this module, which checks its arguments.
"""

import math
import pickle
import pickletools
import re
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Any, BinaryIO, Callable, Dict, List, NoReturn, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

__all__ = ['Storage', 'read_pickle']

#: Bounds of the time and memory for one pickle. Checkpoints of long runs have a few percent of
#: these operations and less than ten levels.
MAX_OPERATIONS = 10_000_000
MAX_DEPTH = 64
MAX_BITS = 256
MAX_NAME = 200
#: Integers below this bound have different hashes, so a file cannot slow down dicts.
MAX_KEY = 2**60

_DTYPE = re.compile(r'torch\.(u?int(8|16|32|64)|bool|b?float\w+|complex\w+)')
DTYPES = {
    str(value): value
    for value in vars(torch).values()
    if isinstance(value, torch.dtype) and _DTYPE.fullmatch(str(value))
}
STORAGES = {
    'torch.storage.UntypedStorage': torch.uint8,
    'torch.ByteStorage': torch.uint8,
    'torch.CharStorage': torch.int8,
    'torch.ShortStorage': torch.int16,
    'torch.IntStorage': torch.int32,
    'torch.LongStorage': torch.int64,
    'torch.HalfStorage': torch.float16,
    'torch.BFloat16Storage': torch.bfloat16,
    'torch.FloatStorage': torch.float32,
    'torch.DoubleStorage': torch.float64,
    'torch.BoolStorage': torch.bool,
    'torch.ComplexFloatStorage': torch.complex64,
    'torch.ComplexDoubleStorage': torch.complex128,
}
_HISTORY = 'mmengine.logging.history_buffer.HistoryBuffer'
_ARRAY_CODES = ('b1', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'f2', 'f4', 'f8')


def read_pickle(file: BinaryIO, load_storage: Optional[Callable[[Any], 'Storage']] = None) -> Any:
    """Read one pickle from a file.

    Args:
        file: A binary file. Its position is after the pickle when this function returns.
        load_storage: Function that returns the storage of a persistent identifier of
            ``torch.save``. Without it, the pickle must not contain tensors.

    Returns:
        The content, which has tensors, NumPy arrays of numbers, MMEngine's log histories and plain
        values.

    Raises:
        pickle.UnpicklingError: The pickle needs more than this. The message names it.
        Exception: The pickle is damaged. Many types are possible.

    Examples:
        >>> import io, pickle
        >>> from mmspd.weights.pickled import read_pickle
        >>> read_pickle(io.BytesIO(pickle.dumps({'epoch': 3})))
        {'epoch': 3}
    """
    machine = _Machine(load_storage)
    for count, (operation, argument, _) in enumerate(pickletools.genops(file)):
        if count == MAX_OPERATIONS:
            raise pickle.UnpicklingError('It has too many values.')
        machine.run(operation.name, argument)
    (content,) = machine.stack
    return _finish(content, 0, {})[0]


class Storage:
    """The bytes of one or several tensors.

    Args:
        data: The bytes, a tensor of ``uint8``.
        dtype: Number format of the tensors.
    """

    def __init__(self, data: Tensor, dtype: torch.dtype) -> None:
        self.data = data
        self.dtype = dtype


@dataclass(frozen=True)
class _Name:
    """The name of a class or function in a pickle."""

    name: str


class _Dtype:
    """Stands for a NumPy dtype, which a pickle creates in two steps."""

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        if not isinstance(code, str) or code not in _ARRAY_CODES:
            _refuse(f'a NumPy array of the type {code!r}')
        self.value = np.dtype(code)

    def build(self, state: Any) -> None:
        order = state[1]
        if order not in ('<', '>', '=', '|') or state[2:5] != (None, None, None):
            _refuse('a NumPy array of structures')
        self.value = self.value.newbyteorder(order)


class _Array:
    """Stands for a NumPy array of numbers, which a pickle creates in two steps."""

    def __init__(self) -> None:
        self.value = np.zeros(0)

    def build(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        self.value = _numbers(shape, dtype, 'F' if is_fortran else 'C', data)


class _History:
    """Stands for MMEngine's ``HistoryBuffer``, which a pickle creates in two steps."""

    def __init__(self) -> None:
        self.state: Dict[str, Any] = {}

    def build(self, state: Any) -> None:
        parts = [state['_log_history'], state['_count_history']]
        if not all(isinstance(part, _Array) and part.value.ndim == 1 for part in parts):
            raise ValueError('A log history has no values.')
        limit = state['max_length']
        if type(limit) is not int or not 0 < limit < MAX_KEY:
            raise ValueError('A log history has a wrong length.')
        self.state = dict(
            log_history=parts[0].value, count_history=parts[1].value, max_length=limit
        )

    @property
    def value(self) -> Any:
        from mmengine.logging import HistoryBuffer  # imported here: read_pickle rarely needs it

        return HistoryBuffer(**self.state)


_StandIn = (_Array, _History)


class _Machine:
    """Runs the operations of a pickle on a stack."""

    def __init__(self, load_storage: Optional[Callable[[Any], Storage]]) -> None:
        self.stack: List[Any] = []
        self.memo: Dict[int, Any] = {}
        self._marked: List[List[Any]] = []
        self._load_storage = load_storage

    def run(self, operation: str, argument: Any) -> None:
        """Run an operation with the argument that follows it in the pickle."""
        if operation in _PUSHED:
            if type(argument) is int and argument.bit_length() > MAX_BITS:
                raise pickle.UnpicklingError('It has a very large number.')
            self.stack.append(argument)
        elif operation in _NEW:
            self.stack.append(_NEW[operation]())
        elif operation not in ('PROTO', 'FRAME', 'STOP'):
            step = getattr(self, f'_{operation.lower()}', None)
            if step is None:
                raise pickle.UnpicklingError(f'It needs the operation {operation} of pickle.')
            step(argument)

    def _mark(self, _: None) -> None:
        self._marked.append(self.stack)
        self.stack = []

    def _unmark(self) -> List[Any]:
        items, self.stack = self.stack, self._marked.pop()
        return items

    def _append(self, _: None) -> None:
        self._extend([self.stack.pop()])

    def _appends(self, _: None) -> None:
        self._extend(self._unmark())

    def _extend(self, items: List[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise TypeError('Only lists can be extended.')
        self.stack[-1].extend(items)

    def _setitem(self, _: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def _setitems(self, _: None) -> None:
        self._set(self._unmark())

    def _set(self, items: List[Any]) -> None:
        if type(self.stack[-1]) not in (dict, OrderedDict, Counter):
            raise TypeError('Only dicts have keys.')
        for key, value in zip(items[::2], items[1::2]):
            self.stack[-1][_key(key)] = value

    def _tuple(self, _: None) -> None:
        items = self._unmark()
        self.stack.append(tuple(items))

    def _tuple1(self, _: None) -> None:
        self.stack[-1:] = [tuple(self._last(1))]

    def _tuple2(self, _: None) -> None:
        self.stack[-2:] = [tuple(self._last(2))]

    def _tuple3(self, _: None) -> None:
        self.stack[-3:] = [tuple(self._last(3))]

    def _last(self, count: int) -> List[Any]:
        if len(self.stack) < count:
            raise IndexError('The stack is too short.')
        return self.stack[-count:]

    def _binput(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    _long_binput = _binput

    def _memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _binget(self, place: int) -> None:
        self.stack.append(self.memo[place])

    _long_binget = _binget

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(' ')
        self._push_name(module, name)

    def _stack_global(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._push_name(str(module), str(name))

    def _push_name(self, module: str, name: str) -> None:
        full = f'{"builtins" if module == "__builtin__" else module}.{name}'
        if full not in _KNOWN:
            _refuse(full)
        self.stack.append(DTYPES.get(full, _Name(full)))

    def _binpersid(self, _: None) -> None:
        if self._load_storage is None:
            _refuse('tensors')
        kind, storage, *rest = self.stack.pop()
        if kind != 'storage' or not isinstance(storage, _Name) or storage.name not in STORAGES:
            _refuse(f'a persistent object of the type {kind!r}')
        self.stack.append(self._load_storage((STORAGES[storage.name], *rest)))

    def _reduce(self, _: None) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(_call(function, arguments))

    _newobj = _reduce

    def _build(self, _: None) -> None:
        state, made = self.stack.pop(), self.stack[-1]
        if isinstance(made, (_Dtype, *_StandIn)):
            made.build(state)
        elif type(made) is OrderedDict:
            made._metadata = _versions(state)  # type: ignore[attr-defined]
        else:
            _refuse('to change an object')


def _refuse(name: str) -> NoReturn:
    if not name.isprintable() or len(name) > MAX_NAME:
        name = 'a name that cannot be printed'
    raise pickle.UnpicklingError(f'It needs {name}, which could run code.')


def _call(function: Any, arguments: Any) -> Any:
    """Call the checked function of this module that stands for a name."""
    if not isinstance(function, _Name) or function.name not in _FUNCTIONS:
        name = function.name if isinstance(function, _Name) else type(function).__name__
        _refuse(f'to call {name}')
    if type(arguments) is not tuple:
        raise TypeError('The arguments of a call must be a tuple.')
    return _FUNCTIONS[function.name](*arguments)


def _key(key: Any) -> Any:
    """Return the key of a dict; keys of other types could take unlimited time to hash."""
    if type(key) in (str, bytes, bool, type(None)) or (type(key) is int and abs(key) < MAX_KEY):
        return key
    raise pickle.UnpicklingError(f'It has a key of the type {type(key).__name__}.')


def _versions(state: Any) -> Dict[str, Dict[str, int]]:
    """Return the versions of the modules of a state dict, which PyTorch reads."""
    versions = state.get('_metadata', {})
    return {
        str(name): {'version': int(parts['version'])} if 'version' in parts else {}
        for name, parts in versions.items()
    }


def _ordered(pairs: Any = ()) -> 'OrderedDict[Any, Any]':
    return OrderedDict((_key(key), value) for key, value in pairs)


def _counter(counts: Any = ()) -> 'Counter[Any]':
    return Counter({_key(key): int(count) for key, count in dict(counts).items()})


def _set(items: Any = ()) -> Any:
    return {_key(item) for item in items}


def _complex(real: Any, imaginary: Any) -> complex:
    return complex(float(real), float(imaginary))


def _bytes(text: Any, encoding: Any) -> bytes:
    """Convert text to bytes; pickles of protocol 2 contain bytes in this form."""
    if encoding != 'latin1':  # other encodings multiply the length
        _refuse(f'the encoding {encoding!r}')
    return text.encode('latin1')


def _getattr(owner: Any, name: Any) -> None:
    """Stand for the statistics methods of a log history; they are not read from the file."""
    known = ('min', 'max', 'current', 'mean')
    if owner != _Name(_HISTORY) or not isinstance(name, str) or name not in known:
        _refuse(f'the attribute {name!r}')


def _numbers(shape: Any, dtype: Any, order: Any, data: Any) -> np.ndarray:
    """Return an array of numbers from its bytes."""
    if not isinstance(dtype, _Dtype):
        raise TypeError('The dtype of an array is missing.')
    if isinstance(data, str):  # Python 2
        data = data.encode('latin1')
    sizes = _sizes(shape)
    if math.prod(sizes) * dtype.value.itemsize != len(data):
        raise ValueError('The data of an array are incomplete.')
    values = np.frombuffer(bytes(data) or bytes(dtype.value.itemsize), dtype.value)
    values = values[: math.prod(sizes)].reshape(sizes, order='F' if order == 'F' else 'C')
    return values.astype(dtype.value.newbyteorder('='))


def _empty_array(kind: Any, *_: Any) -> _Array:
    if kind != _Name('numpy.ndarray'):
        _refuse('a class of arrays')
    return _Array()


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    made = _Array()
    made.build((1, shape, dtype, order == 'F', data))
    return made


def _scalar(dtype: Any, data: Any) -> Any:
    return _numbers((), dtype, 'C', data)[()]


def _sizes(shape: Any) -> Tuple[int, ...]:
    if (
        not isinstance(shape, (tuple, list))
        or not all(type(size) is int and 0 <= size < MAX_KEY for size in shape)
        or len(shape) > MAX_DEPTH
    ):
        raise ValueError('A shape is not valid.')
    return tuple(shape)


def _tensor(
    storage: Any,
    offset: Any,
    shape: Any,
    stride: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
    *,
    dtype: Optional[torch.dtype] = None,
) -> Tensor:
    """Return the view of a storage that ``torch.save`` describes."""
    if not isinstance(storage, Storage):
        raise TypeError('A tensor has no storage.')
    if metadata:
        _refuse('a conjugate or negative view')
    flat = storage.data.view(dtype or storage.dtype)
    sizes, steps, (start,) = _sizes(shape), _sizes(stride), _sizes([offset])
    if len(sizes) != len(steps):
        raise ValueError('A stride does not fit its shape.')
    last = start + sum((size - 1) * step for size, step in zip(sizes, steps))
    if 0 not in sizes and (last >= flat.numel() or math.prod(sizes) > flat.numel()):
        raise ValueError('A tensor is larger than its storage.')
    return (
        torch.empty(sizes, dtype=flat.dtype) if 0 in sizes else flat.as_strided(sizes, steps, start)
    )


def _tensor_with_dtype(
    storage: Any,
    offset: Any,
    shape: Any,
    stride: Any,
    requires_grad: Any,
    hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> Tensor:
    if dtype not in DTYPES.values():
        _refuse('an unknown number format')
    return _tensor(storage, offset, shape, stride, metadata=metadata, dtype=dtype)


def _parameter(data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise TypeError('A parameter has no tensor.')
    return data


def _with_attributes(function: Any, kind: Any, arguments: Any, state: Any) -> Tensor:
    """Return a tensor without the attributes that the file adds to it."""
    if not isinstance(function, _Name) or function.name not in _TENSORS:
        _refuse('a class of tensors')
    return _call(function, arguments)


_PUSHED = (
    *('BININT', 'BININT1', 'BININT2', 'LONG1', 'LONG4', 'BINFLOAT'),
    *('BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8', 'BINSTRING', 'SHORT_BINSTRING'),
    *('BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8', 'BYTEARRAY8'),
)
_NEW: Dict[str, Callable[[], Any]] = {
    'NONE': lambda: None,
    'NEWTRUE': lambda: True,
    'NEWFALSE': lambda: False,
    'EMPTY_TUPLE': tuple,
    'EMPTY_LIST': list,
    'EMPTY_DICT': dict,
}
_TENSORS: Dict[str, Callable[..., Any]] = {
    'torch._utils._rebuild_tensor': _tensor,
    'torch._utils._rebuild_tensor_v2': _tensor,
    'torch._utils._rebuild_tensor_v3': _tensor_with_dtype,
    'torch._utils._rebuild_parameter': _parameter,
    'torch._utils._rebuild_parameter_with_state': _parameter,
}
_FUNCTIONS: Dict[str, Callable[..., Any]] = {
    **_TENSORS,
    'torch._tensor._rebuild_from_type_v2': _with_attributes,
    'torch.Size': lambda sizes: torch.Size(_sizes(sizes)),
    'torch.device': lambda *parts: torch.device(*parts),
    'collections.OrderedDict': _ordered,
    'collections.Counter': _counter,
    'builtins.set': _set,
    'builtins.bytes': lambda: b'',  # protocol 2 has no empty bytes
    'builtins.complex': _complex,
    'builtins.getattr': _getattr,
    '_codecs.encode': _bytes,
    'numpy.dtype': _Dtype,
    _HISTORY: _History,
}
# The file may have been saved with the other major version of NumPy (1 or 2).
for _core in ('numpy.core', 'numpy._core'):
    _FUNCTIONS[f'{_core}.multiarray._reconstruct'] = _empty_array
    _FUNCTIONS[f'{_core}.multiarray.scalar'] = _scalar
    _FUNCTIONS[f'{_core}.numeric._frombuffer'] = _array
_CLASSES = ('numpy.ndarray', 'torch.Tensor', 'torch.nn.parameter.Parameter')
_KNOWN = frozenset([*_FUNCTIONS, *STORAGES, *DTYPES, *_CLASSES])


def _finish(value: Any, depth: int, memo: Dict[int, Any]) -> Tuple[Any, int]:
    """Replace the stand-ins in a value by arrays and log histories.

    Args:
        value: The value. Lists and dicts are changed in place.
        depth: Number of containers around the value.
        memo: A dict from the identity of a container to the result.

    Returns:
        The value and the number of levels in it.

    Raises:
        pickle.UnpicklingError: The value has too many levels or contains itself.
    """
    if isinstance(value, _StandIn):
        return value.value, 0
    if isinstance(value, (_Dtype, _Name, Storage)):
        _refuse(getattr(value, 'name', 'a number format'))
    if type(value) not in _CONTAINERS:
        return value, 0
    if id(value) not in memo:
        if depth == MAX_DEPTH:
            raise pickle.UnpicklingError('It has too many levels.')
        items = value.items() if isinstance(value, dict) else enumerate(value)
        inner = {
            key: _finish(part, depth + 1, memo) for key, part in items if type(part) in _COMPOUND
        }
        height = 1 + max((levels for _, levels in inner.values()), default=0)
        if height > MAX_DEPTH:
            raise pickle.UnpicklingError('It has too many levels.')
        new = {key: part for key, (part, _) in inner.items()}
        memo[id(value)] = _replaced(value, new), height
    return memo[id(value)]


def _replaced(value: Any, new: Dict[Any, Any]) -> Any:
    if type(value) is tuple:
        return tuple(new.get(place, part) for place, part in enumerate(value)) if new else value
    for key, part in new.items():
        value[key] = part
    return value


_CONTAINERS = (dict, OrderedDict, Counter, list, tuple)
_COMPOUND = frozenset([*_CONTAINERS, *_StandIn, _Dtype, _Name, Storage])
