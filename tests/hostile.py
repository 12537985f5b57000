"""Hostile weights files, and a function that gives all of them to a loader in its own process."""

import gzip
import io
import os
import pickle
import resource
import signal
import struct
import tarfile
import traceback
import zipfile
from collections import OrderedDict

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from published import FAMILIES, MIMO, MPRNET, network
from tf_files import header, message, shape_message, table

TIME_LIMIT = 100


class Reduced:
    """Pickles as a call that the loader makes when it reads the file."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call

    def __call__(self):
        raise NotImplementedError('pickle requires a callable')


def saved(content, **options):
    """Return the bytes of a ``torch.save`` file."""
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def zipped(operations, compression=zipfile.ZIP_STORED, **storages):
    """Return the bytes of a ``torch.save`` file with these operations as its pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', compression) as archive:
        archive.writestr('a/data.pkl', b'\x80\x02' + operations + b'.')
        archive.writestr('a/version', b'3\n')
        for name, data in storages.items():
            archive.writestr(f'a/data/{name[1:]}', data)
    return file.getvalue()


def plain(value):
    """Return the operations that push a value."""
    return pickle.dumps(value, protocol=2)[2:-1]


def named(module, name):
    return f'c{module}\n{name}\n'.encode()


def call(function, *arguments):
    return function + b'(' + b''.join(arguments) + b'tR'


def tensor(count=1, shape=(1,), stride=(1,), offset=0, key='0', kind='FloatStorage'):
    storage = (
        b'('
        + plain('storage')
        + named('torch', kind)
        + b''.join(map(plain, (key, 'cpu', count)))
        + b'tQ'
    )
    parts = map(plain, (offset, shape, stride, False, OrderedDict()))
    return call(named('torch._utils', '_rebuild_tensor_v2'), storage, *parts)


def state(operations):
    """Return the operations of ``{'state_dict': {'generator.a': value}}``."""
    return b'}' + plain('state_dict') + b'}' + plain('generator.a') + operations + b'ss'


def stream(count, key='0', keys=('0',), data=b'', info=None):
    """Return a file of the older format with one tensor."""
    info = info or dict(protocol_version=1001, little_endian=True, type_sizes={})
    content = tensor(count).replace(plain(count) + b'tQ', plain(count) + b'NtQ')
    parts = [pickle.dumps(each, protocol=2) for each in (0x1950A86A20F9469CFC6C, 1001, info)]
    parts += [b'\x80\x02' + state(content) + b'.', pickle.dumps(list(keys), protocol=2)]
    return b''.join(parts) + data


def safetensors(header, data=b'', size=None):
    return struct.pack('<Q', len(header) if size is None else size) + header + data


def overlapping_zip():
    """Return a zip file of 1 MB whose 2000 entries share their bytes and claim 2 GB."""
    data = bytearray(zipped(state(tensor(2**18)), _0=bytes(2**20)))
    end = data.rindex(b'PK\x05\x06')
    start = struct.unpack('<I', data[end + 16 : end + 20])[0]
    last = data.rindex(b'PK\x01\x02', start, end)
    entries = data[start:end] + data[last:end] * 2000
    tail = bytearray(data[end:])
    count = 3 + 2000
    struct.pack_into('<HHI', tail, 8, count, count, len(entries))
    return bytes(data[:start] + entries + tail)


def tar_with_a_huge_name():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode='w') as archive:
        info = tarfile.TarInfo('././@LongLink')
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, 8**11 - 1
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        archive.addfile(tarfile.TarInfo('a'))
    return file.getvalue()


def broken_tensor(make):
    """Return a file with a tensor of another layout; torch checks no indices."""
    with torch.sparse.check_sparse_tensor_invariants(enable=False):
        return saved({'state_dict': {'generator.a': make()}})


ARRAY, DTYPE = named('numpy', 'ndarray'), named('numpy', 'dtype')
RECONSTRUCT = named('numpy._core.multiarray', '_reconstruct')
HISTORY = named('mmengine.logging.history_buffer', 'HistoryBuffer')
GETATTR = named('__builtin__', 'getattr')
F8 = call(DTYPE, plain('f8'), plain(False), plain(True))
EMPTY = call(RECONSTRUCT, ARRAY, plain((0,)), plain(b'b'))


def array(shape, dtype, data):
    """Return the operations of an array with this state."""
    return EMPTY + b'(' + plain(1) + plain(shape) + dtype + plain(False) + plain(data) + b'tb'


POINTER = struct.pack('<Q', 0x4141414141414141)
FORGED = Reduced(np.ndarray, (1,), 'O', POINTER * 8)
#: A dict from names to the bytes of the files.
FILES = {
    # memory that the file chooses is used as an object
    'ndarray': lambda: saved({'state_dict': {'generator.a': Reduced(np.ndarray, FORGED, 'f8')}}),
    'object-array': lambda: zipped(
        state(array((1,), call(DTYPE, plain('O8'), plain(False), plain(True)), POINTER))
    ),
    'structured-array': lambda: zipped(
        state(
            array(
                (1,),
                F8 + plain((3, '<', (b'f8', (2,)), ('a',), {'a': 1}, 8, 1, 0)) + b'b',
                POINTER,
            )
        )
    ),
    'array-replaced-under-a-tensor': lambda: zipped(
        state(
            b'('
            + array((64,), F8, bytes(512))
            + b'q\x63'
            + call(
                named('torch._utils', '_rebuild_device_tensor_from_numpy'),
                b'h\x63',
                named('torch', 'float64'),
                plain('cpu'),
                plain(False),
            )
            + b'h\x63('
            + plain(1)
            + plain((1,))
            + F8
            + plain(False)
            + plain(bytes(8))
            + b'tbt'
        )
    ),
    'array-larger-than-its-data': lambda: zipped(state(array((2**50,), F8, b''))),
    'history-of-text': lambda: zipped(
        state(
            HISTORY
            + b')\x81'
            + plain(dict(_log_history='text', _count_history=[], max_length=9))
            + b'b'
        )
    ),
    'history-with-arguments': lambda: zipped(state(call(HISTORY, plain([[1]]), plain([1])))),
    'class-is-changed': lambda: zipped(state(HISTORY + plain((None, {'mean': 1})) + b'b')),
    'attribute-of-a-class': lambda: saved(
        {'state_dict': {'generator.a': Reduced(getattr, HistoryBuffer, '__init__')}}
    ),
    'attribute-of-an-array': lambda: saved(Reduced(getattr, np.ndarray, 'tofile')),
    'system': lambda: saved({'a.b': Reduced(os.system, 'touch HOSTILE')}),
    'eval': lambda: saved({'a.b': Reduced(eval, "open('HOSTILE', 'w')")}),
    'attributes-are-set': lambda: zipped(
        state(
            call(
                named('torch._tensor', '_rebuild_from_type_v2'),
                named('collections', 'OrderedDict'),
                named('collections', 'OrderedDict'),
                b')',
                plain({'items': 1}),
            )
        )
    ),
    'versions-of-modules': lambda: zipped(
        state(call(named('collections', 'OrderedDict')) + plain({'_metadata': 5}) + b'b')
    ),
    # tensors that do not fit their storage
    'storage-larger-than-its-data': lambda: zipped(state(tensor(2**40)), _0=bytes(4)),
    'storage-slightly-too-large': lambda: zipped(state(tensor(2, (2,))), _0=bytes(4)),
    'storage-with-a-negative-size': lambda: zipped(state(tensor(-1)), _0=bytes(4)),
    'storage-is-missing': lambda: zipped(state(tensor())),
    'tensor-larger-than-its-storage': lambda: zipped(state(tensor(1, (2**40,), (1,))), _0=bytes(4)),
    'tensor-before-its-storage': lambda: zipped(state(tensor(1, (1,), (1,), -8)), _0=bytes(4)),
    'tensor-with-an-overflow': lambda: zipped(
        state(tensor(1, (2**32, 2**32), (2**32, 2**31))), _0=bytes(4)
    ),
    'tensor-of-one-number-expanded': lambda: zipped(state(tensor(1, (2**50,), (0,))), _0=bytes(4)),
    'tensor-with-many-dimensions': lambda: zipped(
        state(tensor(1, (1,) * 10**4, (1,) * 10**4)), _0=bytes(4)
    ),
    'quantized-storage': lambda: zipped(state(tensor(4, kind='QInt8Storage')), _0=bytes(4)),
    'sparse': lambda: broken_tensor(
        lambda: torch.sparse_coo_tensor([[2**40]], [1.0], (4,), check_invariants=False)
    ),
    'compressed-sparse': lambda: broken_tensor(
        lambda: torch.sparse_csr_tensor([0, 2**40], [2**40], [1.0], (1, 4), check_invariants=False)
    ),
    'quantized': lambda: broken_tensor(
        lambda: torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)
    ),
    'nested-tensor': lambda: broken_tensor(lambda: torch.nested.nested_tensor([torch.ones(2)])),
    'meta-tensor': lambda: broken_tensor(lambda: torch.empty(4, device='meta')),
    'conjugate-view': lambda: broken_tensor(lambda: torch.ones(4, dtype=torch.complex64).conj()),
    # unlimited time or memory
    'encoding-that-grows': lambda: zipped(state(growing())),
    'key-of-shared-tuples': lambda: zipped(b'})' + b'q\x00h\x00\x86' * 64 + b'Ns'),
    'keys-with-equal-hashes': lambda: zipped(
        b'}(' + b''.join(plain((2**61 - 1) * n) + b'N' for n in range(1, 2000)) + b'u'
    ),
    'deep-list': lambda: zipped(b']' * 10**4 + b'a' * (10**4 - 1)),
    'deep-dict': lambda: zipped((b'}' + plain('model')) * 10**4 + b'}' + b's' * 10**4),
    'list-in-itself': lambda: zipped(b']q\x00h\x00a'),
    'dict-in-itself': lambda: zipped(b'}q\x63' + plain('state_dict') + b'h\x63s'),
    'number-of-many-digits': lambda: zipped(
        b'}' + plain('epoch') + b'\x8b' + struct.pack('<i', 10**6) + b'\x7f' * 10**6 + b's'
    ),
    'text-with-a-wrong-length': lambda: zipped(b'\x8d' + struct.pack('<Q', 2**62) + b'a'),
    'zip-bomb': lambda: zipped(
        state(b'X' + struct.pack('<I', 10**7) + bytes(10**7)), zipfile.ZIP_DEFLATED
    ),
    'zip-bomb-in-a-storage': lambda: zipped(
        state(tensor(10**7)), zipfile.ZIP_DEFLATED, _0=bytes(4 * 10**7)
    ),
    'zip-entries-that-overlap': overlapping_zip,
    # names and sizes that a message or a network would repeat
    'name-with-an-escape': lambda: saved({'state_dict': {'generator.\x1b[31m': torch.ones(1)}}),
    'name-of-a-megabyte': lambda: saved({'state_dict': {'generator.' * 10**5: torch.ones(1)}}),
    'class-with-an-escape': lambda: zipped(plain('os\x1b[2J') + plain('system') + b'\x93'),
    'float4': lambda: saved(
        {'generator.a': torch.zeros(2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)}
    ),
    'restorer-of-a-billion-blocks': lambda: saved(
        {
            **network(MIMO).state_dict(),
            'Encoder.0.layers.999999999.main.0.main.0.weight': torch.ones(8, 8, 3, 3),
        }
    ),
    'restorer-of-a-trillion-channels': lambda: saved(
        dict.fromkeys(FAMILIES[MIMO].marks, torch.empty(2**40, 0, 3, 3))
    ),
    'restorer-of-scalars': lambda: saved(
        dict.fromkeys(network(MPRNET).state_dict(), torch.ones(()))
    ),
    'tresnet-of-a-scalar': lambda: saved({'body.conv1.0.weight': torch.ones(())}),
    'tresnet-of-booleans': lambda: saved(
        {
            'body.conv1.0.weight': torch.ones(64, 48, 3, 3),
            'body.conv1.1.weight': torch.ones(64).bool(),
        }
    ),
    'tresnet-with-a-model': lambda: saved(
        {'body.conv1.0.weight': torch.ones(64, 48, 3, 3), 'model': torch.ones(1)}
    ),
    'lpips-without-layers': lambda: pickle.dumps({'AlexNet_0': 5, '\x1b' * 10**5: 1}),
    'lpips-without-arrays': lambda: pickle.dumps({'AlexNet_0': {'Conv_0': 5}}),
    'lpips-of-scalars': lambda: pickle.dumps(
        {'AlexNet_0': {f'Conv_{n}': dict(kernel=np.ones(1), bias=np.ones(1)) for n in range(5)}}
    ),
    # damaged and other files
    'stack-is-empty': lambda: zipped(b'R'),
    'mark-is-missing': lambda: zipped(b't'),
    'operation-is-unknown': lambda: zipped(b'\xff'),
    'pickle-has-no-end': lambda: zipped(b'}')[:-30],
    'persistent-id': lambda: zipped(plain('x') + b'Q'),
    'list': lambda: saved([1, 2]),
    'none': lambda: saved(None),
    'no-state': lambda: saved({'epoch': 3}),
    'state-of-lists': lambda: saved({'state_dict': {'generator.a.weight': [1.0]}}),
    'state-of-arrays': lambda: saved({'state_dict': {'generator.a.weight': np.ones(3)}}),
    'names-are-numbers': lambda: saved({'state_dict': {1: torch.ones(1)}}),
    'twice': lambda: saved({'generator.a': torch.ones(1), 'module.generator.a': torch.zeros(1)}),
    'stream-larger-than-its-data': lambda: stream(2**40),
    'stream-is-truncated': lambda: stream(4, data=struct.pack('<q', 4) + bytes(8)),
    'stream-with-another-size': lambda: stream(1, data=struct.pack('<q', 2**40) + bytes(4)),
    'stream-without-names': lambda: stream(1, keys=()),
    'stream-with-other-names': lambda: stream(1, keys=('0', '1')),
    'stream-of-the-other-byte-order': lambda: stream(1, info=dict(little_endian=False)),
    'empty': lambda: b'',
    'gzip': lambda: gzip.compress(bytes(10**6)),
    'tar': tar_with_a_huge_name,
    'archive': lambda: zipped(b'}').replace(b'data.pkl', b'data.txt'),
    'safetensors-long-header': lambda: safetensors(b'{}', size=2**63),
    'safetensors-longer-than-the-file': lambda: safetensors(b'{}', size=99_000_000),
    'safetensors-no-json': lambda: safetensors(b'{"a": [[[['),
    'safetensors-deep-json': lambda: safetensors(b'[' * 10**6),
    'safetensors-wrong-range': lambda: safetensors(
        b'{"generator.a":{"dtype":"F32","shape":[9999],"data_offsets":[0,4]}}', bytes(4)
    ),
    'safetensors-overflow': lambda: safetensors(
        b'{"generator.a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    'safetensors-unknown-dtype': lambda: safetensors(
        b'{"generator.a":{"dtype":"X\\u001b","shape":[1],"data_offsets":[0,4]}}', bytes(4)
    ),
    'safetensors-empty': lambda: safetensors(b'{}'),
    'tf-larger-than-its-data': lambda: tf_index((1, 1), (2, shape_message((2**40,))), (5, 2**42)),
    'tf-of-shared-bytes': lambda: tf_index((1, 1), (2, shape_message((16,))), (5, 64), count=9000),
    'tf-entries-without-end': lambda: tf_index(count=10_001),
    'tf-truncated': lambda: tf_index()[:-1],
    'npz-larger-than-its-data': lambda: npz((2**40,), bytes(4)),
    'npz-bomb': lambda: npz((10**7,), bytes(4 * 10**7), zipfile.ZIP_DEFLATED),
    'npz-of-objects': lambda: npz(
        (1,), pickle.dumps(Reduced(os.system, 'touch HOSTILE')), kind='|O'
    ),
}


def tf_index(*fields, count=1):
    """Return the index of a TensorFlow checkpoint with variables that all have these fields."""
    entry = message(*fields)
    names = [f'g_net/{number:06}/weights'.encode() for number in range(count)]
    return table([(b'', header()), *((name, entry) for name in names)], per_block=1000)


def npz(shape, data, compression=zipfile.ZIP_STORED, kind='<f4'):
    file, array = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(array, dict(descr=kind, fortran_order=False, shape=shape))
    with zipfile.ZipFile(file, 'w', compression) as archive:
        archive.writestr('a.npy', array.getvalue() + data)
    return file.getvalue()


def growing():
    """Return the operations of 40 calls that each double the length of bytes."""
    text = call(named('_codecs', 'encode'), plain('a' * 64), plain('latin1'))
    for _ in range(40):
        text = call(named('_codecs', 'encode'), text, plain('hex'))
    return text


def write_all(folder, names=FILES):
    """Write files of the corpus; return their paths."""
    suffixes = dict(safetensors='.safetensors', tf='.index', npz='.npz')
    folder.mkdir(exist_ok=True)
    paths = []
    for name in names:
        suffix = suffixes.get(name.partition('-')[0], '.pth')
        paths.append(folder / f'{name}{suffix}')
        paths[-1].write_bytes(FILES[name]())
        if suffix == '.index':
            (folder / f'{name}.data-00000-of-00001').write_bytes(bytes(64))
    return paths


def sweep(load, paths, log):
    """Give each file to a loader; write the outcomes to a file. Called in a new process.

    Args:
        load: Function of a path that must raise a UserError or exit with code 1.
        paths: The files.
        log: File for one line per outcome, the name and the message.
    """
    from mmspd.errors import UserError

    signal.alarm(TIME_LIMIT)
    torch.set_num_threads(1)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open(log, 'w', buffering=1) as file:
        for path in paths:
            file.write(f'{path.stem}\t')
            try:
                load(str(path))
                outcome = 'LOADED'
            except UserError as error:
                outcome = f'refused\t{error}'
            except Exception:
                outcome = 'ERROR ' + traceback.format_exc()
            file.write(outcome.replace('\n', '|') + '\n')
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) * 1024
        file.write(f'MEMORY\t{int(grown)}\n')
