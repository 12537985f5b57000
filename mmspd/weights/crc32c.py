"""CRC-32C, the checksum of TensorFlow's files, computed with NumPy."""

import math
from typing import List, Union

import numpy as np

__all__ = ['masked_crc32c']

POLYNOMIAL = 0x82F63B78  # Castagnoli's, with the bits in reverse order
ALL_ONES = 0xFFFFFFFF
MASK = 0xA282EAD8


def _make_table() -> np.ndarray:
    """Compute the checksums of all bytes."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(POLYNOMIAL), table >> 1)
    return table.astype(np.uint32)


_TABLE = _make_table()
#: The registers with each value in one of their four bytes, and zeros in the others.
_SINGLE_BYTES = np.concatenate([np.arange(256, dtype=np.uint32) << (8 * i) for i in range(4)])


def masked_crc32c(data: Union[bytes, bytearray]) -> int:
    """Compute the masked CRC-32C, as TensorFlow stores it.

    The data are cut into about as many rows as a row has bytes. NumPy computes the checksums of all
    rows at the same time. A checksum is linear, so a table moves the checksum of the rows before
    over the next row.

    Args:
        data: The data.

    Returns:
        The checksum, 32 bits.

    Examples:
        >>> from mmspd.weights.crc32c import masked_crc32c
        >>> hex(masked_crc32c(b'123456789'))
        '0xc78ab0e5'
    """
    array = np.frombuffer(data, np.uint8)
    length = max(1, math.isqrt(len(array)))
    rows = len(array) // length
    start = len(array) - rows * length
    register = ALL_ONES
    table: List[int] = _TABLE.tolist()
    for byte in array[:start].tolist():
        register = table[(register ^ byte) & 255] ^ (register >> 8)
    columns = np.ascontiguousarray(array[start:].reshape(rows, length).T)
    checksums, moved = np.zeros(rows, np.uint32), _SINGLE_BYTES
    for column in columns:
        checksums = _TABLE[(checksums ^ column) & 255] ^ (checksums >> 8)
        moved = _TABLE[moved & 255] ^ (moved >> 8)
    first, second, third, fourth = moved.reshape(4, 256).tolist()
    for checksum in checksums.tolist():
        register = (
            first[register & 255]
            ^ second[(register >> 8) & 255]
            ^ third[(register >> 16) & 255]
            ^ fourth[register >> 24]
            ^ checksum
        )
    register ^= ALL_ONES
    return (((register >> 15) | (register << 17)) + MASK) & ALL_ONES
