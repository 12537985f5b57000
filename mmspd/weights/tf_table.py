"""Read the sorted table of names and values in the index file of a TensorFlow checkpoint.

The format is LevelDB's. A footer gives the place of the index block. The index block gives the
places of the data blocks. A data block has entries with increasing keys; an entry stores only the
part of its key that differs from the key before.
"""

import struct
from typing import Iterator, Tuple

from mmspd.weights.crc32c import masked_crc32c

__all__ = ['CheckpointError', 'read_table', 'read_varint']

FOOTER_BYTES = 48
MAGIC = 0xDB4775248B80FB57
TRAILER_BYTES = 5  # the type of compression and the checksum
MAX_KEY = 300
#: Checkpoints of the networks here have fewer than 1000 entries.
MAX_ENTRIES = 10_000


class CheckpointError(ValueError):
    """Raised for a file that cannot be read; the message is the reason."""


def read_varint(data: bytes, start: int) -> Tuple[int, int]:
    """Read a number of variable length, as Protocol Buffers and LevelDB store it.

    Args:
        data: The bytes.
        start: Position of the number.

    Returns:
        The number, below 2^64, and the position after it.

    Raises:
        CheckpointError: The number is incomplete or too large.
    """
    value = 0
    for count, byte in enumerate(data[start : start + 10]):
        value |= (byte & 127) << (7 * count)
        if byte < 128:
            if value >= 1 << 64:
                break
            return value, start + count + 1
    raise CheckpointError('It is truncated or damaged.')


def read_table(data: bytes) -> Iterator[Tuple[bytes, bytes]]:
    """Read the entries of a table.

    Args:
        data: The content of the file.

    Yields:
        The key and the value of each entry, in increasing order of the keys.

    Raises:
        CheckpointError: The file is no table, is damaged, or is compressed.
    """
    if len(data) < FOOTER_BYTES or struct.unpack_from('<Q', data, len(data) - 8)[0] != MAGIC:
        raise CheckpointError('It is not the index of a TensorFlow checkpoint.')
    footer = data[-FOOTER_BYTES:]
    _read_block(data, footer)  # the block of metadata is not used, but its checksum is compared
    position = 0
    for _ in range(2):  # the place and the size of this block
        _, position = read_varint(footer, position)
    last, count = b'', 0
    for _, handle in _entries(_read_block(data, footer[position:])):
        for key, value in _entries(_read_block(data, handle)):
            if count and key <= last:
                raise CheckpointError('Its names are not in order.')
            last, count = key, count + 1
            if count > MAX_ENTRIES:
                raise CheckpointError(f'It has more than {MAX_ENTRIES} entries.')
            yield key, value


def _read_block(data: bytes, handle: bytes) -> bytes:
    """Return the content of a block, whose place and size the handle gives."""
    offset, position = read_varint(handle, 0)
    size, _ = read_varint(handle, position)
    end = offset + size
    if end + TRAILER_BYTES > len(data) - FOOTER_BYTES:
        raise CheckpointError('It is truncated or damaged.')
    kind, checksum = struct.unpack_from('<BI', data, end)
    if masked_crc32c(data[offset : end + 1]) != checksum:
        raise CheckpointError('A checksum differs.')
    if kind:
        raise CheckpointError('It is compressed.')
    return data[offset:end]


def _entries(block: bytes) -> Iterator[Tuple[bytes, bytes]]:
    """Read the entries of a block; after them comes a list of positions, which is not used."""
    if len(block) < 4:
        raise CheckpointError('It is truncated or damaged.')
    end = len(block) - 4 * (struct.unpack_from('<I', block, len(block) - 4)[0] + 1)
    position, key = 0, b''
    while position < end:
        shared, position = read_varint(block, position)
        added, position = read_varint(block, position)
        length, position = read_varint(block, position)
        if shared > len(key) or position + added + length > end:
            raise CheckpointError('It is truncated or damaged.')
        if shared + added > MAX_KEY:
            raise CheckpointError('It has a name that is too long.')
        key = key[:shared] + block[position : position + added]
        position += added
        yield key, block[position : position + length]
        position += length
    if position != end:
        raise CheckpointError('It is truncated or damaged.')
