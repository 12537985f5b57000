"""Writes TensorFlow checkpoints and .npz files as the authors of SRN and PSS-NSC publish them."""

import struct

import numpy as np

MAGIC = 0xDB4775248B80FB57
TYPES = {'float32': 1, 'float64': 2, 'int32': 3, 'int64': 9, 'float16': 19}
NONE, SNAPPY = 0, 1


def masked_crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(number):
    data = bytearray()
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    return bytes([*data, number])


def message(*fields):
    """Write a message of pairs: numbers as varints, and bytes; a pair (6, n) has 4 bytes."""
    data = b''
    for field, value in fields:
        if isinstance(value, bytes):
            data += varint(field << 3 | 2) + varint(len(value)) + value
        elif field == 6:
            data += varint(field << 3 | 5) + struct.pack('<I', value)
        else:
            data += varint(field << 3) + varint(value)
    return data


def shape_message(shape):
    return message(*[(2, message((1, side))) for side in shape])


def block(entries, kind=NONE):
    """Write a block; every fourth key is stored in full."""
    data, starts, last = b'', [], b''
    for number, (key, value) in enumerate(entries):
        shared = 0
        if number % 4 == 0:
            starts.append(len(data))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        data += varint(shared) + varint(len(key) - shared) + varint(len(value))
        data += key[shared:] + value
        last = key
    starts = starts or [0]
    data += struct.pack(f'<{len(starts) + 1}I', *starts, len(starts))
    checked = data + bytes([kind])
    return checked + struct.pack('<I', masked_crc32c(checked))


def table(entries, per_block=5, kind=NONE):
    """Write a table with several data blocks."""
    data, index = b'', []

    def add(content):
        nonlocal data
        handle = varint(len(data)) + varint(len(content) - 5)
        data += content
        return handle

    for start in range(0, len(entries), per_block):
        part = entries[start : start + per_block]
        index.append((part[-1][0], add(block(part, kind))))
    footer = add(block([])) + add(block(index))
    return data + footer.ljust(40, b'\0') + struct.pack('<Q', MAGIC)


def header(shards=1, *more):
    return message((1, shards), *more, (3, message((1, 1))))


def write_checkpoint(prefix, variables, shards=1, checksums=True, changes=None):
    """Write PREFIX.index and its data files; returns the path of the index.

    Args:
        prefix: Path without suffixes.
        variables: A dict from names to arrays.
        shards: Number of data files, to which the variables go in turn.
        checksums: Whether to store the checksums of the variables.
        changes: A dict from names to functions that change the fields of a variable, a dict.
    """
    data = [b''] * shards
    entries = [(b'', header(shards))]
    for number, (name, array) in enumerate(sorted(variables.items())):
        shard = number % shards
        content = array.tobytes()
        fields = {1: TYPES[array.dtype.name], 2: shape_message(array.shape), 3: shard}
        fields |= {4: len(data[shard]), 5: len(content)}
        fields |= {6: masked_crc32c(content)} if checksums else {}
        data[shard] += content
        fields |= (changes or {}).get(name, lambda fields: {})(fields)
        entries.append((name.encode(), message(*sorted(fields.items()))))
    for shard, content in enumerate(data):
        path = prefix.with_name(f'{prefix.name}.data-{shard:05d}-of-{shards:05d}')
        path.write_bytes(content)
    index = prefix.with_name(f'{prefix.name}.index')
    index.write_bytes(table(entries))
    return index


def to_variables(state):
    """Return the official variables of a state dict, as TensorFlow stores them."""
    kinds = {'weight': 'weights', 'bias': 'biases'}
    variables = {}
    for name, weight in state.items():
        *modules, kind = name.split('.')
        array = weight.numpy()
        if array.ndim == 4:  # (out, in, rows, columns) to (rows, columns, in, out)
            array = np.ascontiguousarray(array.transpose(2, 3, 1, 0))
        variables['/'.join(['g_net', *modules, kinds[kind]])] = array
    return variables


def with_training(variables):
    """Add what a training checkpoint has beside the network."""
    ones = np.ones(1, np.float32)
    slots = {f'{name}/{slot}': ones for name in variables for slot in ('Adam', 'Adam_1')}
    steps = dict(beta1_power=ones[0], beta2_power=ones[0], Variable=np.int32(523000))
    return {**variables, **slots, **{name: np.asarray(value) for name, value in steps.items()}}
