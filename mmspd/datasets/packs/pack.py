"""Packs: a split of a data set in one file, read by memory map without decoding anything.

A pack is a header of 4096 bytes, the pixels of every image (RGB, uint8, rows from the top, each
image from a multiple of 4096 on, the sharp one behind its blurry one) and a JSON index. The header
holds, little-endian: the 8 bytes ``mmspdpk`` and zero, the version and the index's CRC-32 as
uint32, the index's position and length as uint64; zeros fill it up. The index is a
:class:`PackIndex` and names for every image its place, its CRC-32 and the file it came from.
"""

import json
import mmap
import struct
import zlib
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from mmspd.errors import UserError

__all__ = [
    'ALIGNMENT',
    'SUFFIX',
    'Pack',
    'PackIndex',
    'PackedImage',
    'PackedPair',
    'PairPlace',
    'encode_tail',
    'read_pack',
    'verify_pack',
]

SUFFIX = '.pack'

#: Images start at multiples of this, the size of a memory page, and so does the first of them.
ALIGNMENT = 4096

_HEADER = struct.Struct('<8sIIQQ')
_MAGIC = b'mmspdpk\0'
_VERSION = 1


@dataclass(frozen=True)
class PackedImage:
    """Where an image is in a pack, and what it was made from.

    Args:
        file: The image file, relative to the data set's folder.
        size: Its length in bytes.
        mtime_ns: When it was last changed, in nanoseconds.
        offset: First byte in the pack.
        crc32: Checksum of the pixels.
    """

    file: str
    size: int
    mtime_ns: int
    offset: int
    crc32: int


@dataclass(frozen=True)
class PackedPair:
    """A pair in a pack; both images are H x W. A sharp photo without a blurry one is stored once.

    Args:
        key: Name that is unique within the pack.
        severity: Severity of the blur where it is recorded.
        height: H in pixels.
        width: W in pixels.
        blur: The blurry image.
        sharp: The sharp image.
    """

    key: str
    severity: Optional[str]
    height: int
    width: int
    blur: PackedImage
    sharp: PackedImage

    @property
    def nbytes(self) -> int:
        """Length of one image's pixels in bytes."""
        return self.height * self.width * 3

    @property
    def images(self) -> Tuple[PackedImage, ...]:
        """The images that are stored: two, or one where both are the same file."""
        return (self.blur, self.sharp) if self.blur != self.sharp else (self.sharp,)

    def checksums(self, file: BinaryIO) -> List[int]:
        """Read the images from an opened pack and return the CRC-32 of each."""
        found = []
        for image in self.images:
            file.seek(image.offset)
            found.append(zlib.crc32(file.read(self.nbytes)))
        return found


@dataclass(frozen=True)
class PackIndex:
    """What a pack holds.

    Args:
        choices: The dataset's choices that decide which pairs these are.
        source: Folder of the data set.
        description: What the dataset says of itself.
        mmspd: Version of mmspd that made the pack.
        to_rgb: Whether gray, alpha and 16-bit images were converted.
        pairs: The pairs, in the order of the dataset.
    """

    choices: Dict[str, str]
    source: str
    description: str
    mmspd: str
    to_rgb: bool
    pairs: List[PackedPair]

    def to_json(self) -> bytes:
        """Return the index as it is stored."""
        return json.dumps(asdict(self)).encode('utf-8')

    @classmethod
    def from_json(cls, data: bytes) -> 'PackIndex':
        """Read what :meth:`to_json` returns."""
        values = json.loads(data)
        for pair in values['pairs']:
            pair.update({name: PackedImage(**pair[name]) for name in ('blur', 'sharp')})
        return cls(**{**values, 'pairs': [PackedPair(**pair) for pair in values['pairs']]})


class PairPlace(NamedTuple):
    """Where a pair's pixels are: all that a sample carries of its pack.

    Args:
        path: The pack.
        stamp: CRC-32 of its index, to notice that the file is another one by now.
        height: H in pixels.
        width: W in pixels.
        blur: First byte of the blurry image.
        sharp: First byte of the sharp image.
    """

    path: str
    stamp: int
    height: int
    width: int
    blur: int
    sharp: int

    def images(self) -> Tuple[np.ndarray, np.ndarray]:
        """Return the blurry and the sharp image without reading them yet.

        Returns:
            RGB, uint8, shape (H, W, 3), read-only: their memory is the file. The file stays mapped
            in this process.

        Raises:
            UserError: The pack is gone or is another one by now.
        """
        pixels, shape = _map(self.path, self.stamp), (self.height, self.width, 3)
        count = self.height * self.width * 3
        blurry, sharp = (
            np.frombuffer(pixels, np.uint8, count, offset).reshape(shape)
            for offset in (self.blur, self.sharp)
        )
        return blurry, sharp


@dataclass(frozen=True)
class Pack:
    """An opened pack.

    Args:
        path: The file.
        stamp: CRC-32 of its index.
        index: What it holds.
    """

    path: Path
    stamp: int
    index: PackIndex

    def place(self, pair: PackedPair) -> PairPlace:
        """Return where the pixels of a pair are."""
        offsets = pair.blur.offset, pair.sharp.offset
        return PairPlace(str(self.path), self.stamp, pair.height, pair.width, *offsets)


def read_pack(path: Path) -> Pack:
    """Read the index of a pack.

    Args:
        path: A pack.

    Raises:
        UserError: The file cannot be read, is no pack, or is cut off or damaged in its index.
    """
    try:
        with open(path, 'rb') as file:
            stamp, data = _read_index(file, path)
    except OSError as error:
        raise UserError(f"cannot read the pack '{path}': {error.strerror}") from error
    return Pack(path, stamp, PackIndex.from_json(data))


def verify_pack(path: Path) -> List[str]:
    """Read a whole pack and compare the checksums.

    Args:
        path: A pack.

    Returns:
        The image files, relative to the data set's folder, whose pixels are damaged in the pack.

    Raises:
        UserError: As :func:`read_pack`.
    """
    pack, damaged = read_pack(path), []
    with open(path, 'rb') as file:
        for pair in pack.index.pairs:
            for image, checksum in zip(pair.images, pair.checksums(file)):
                if checksum != image.crc32:
                    damaged.append(image.file)
    return damaged


def encode_tail(index: PackIndex, offset: int) -> Tuple[bytes, bytes]:
    """Return the header and the index of a pack.

    Args:
        index: What the pack holds.
        offset: Where the index will be, behind the last image.
    """
    data = index.to_json()
    header = _HEADER.pack(_MAGIC, _VERSION, zlib.crc32(data), offset, len(data))
    return header.ljust(ALIGNMENT, b'\0'), data


def _read_header(file: BinaryIO, path: Path) -> Tuple[int, int, int]:
    """Return the index's CRC-32, position and length once the file is known to be a whole pack."""
    cure = 'make it again with tools/dataset_converters/pack.py'
    header = file.read(_HEADER.size)
    if header[: len(_MAGIC)] != _MAGIC or len(header) < _HEADER.size:
        raise UserError(f"'{path}' is no pack: correct the path, or {cure}")
    _, version, stamp, offset, length = _HEADER.unpack(header)
    if version != _VERSION:
        raise UserError(f"'{path}' is a pack of version {version}, this is {_VERSION}: {cure}")
    size = file.seek(0, 2)
    if size != offset + length:
        raise UserError(f"the pack '{path}' has {size} of {offset + length} bytes: {cure}")
    return stamp, offset, length


def _read_index(file: BinaryIO, path: Path) -> Tuple[int, bytes]:
    """Return the stamp and the index's bytes."""
    stamp, offset, length = _read_header(file, path)
    file.seek(offset)
    data = file.read(length)
    if zlib.crc32(data) != stamp:
        raise UserError(
            f"the index of the pack '{path}' is damaged: make it again with "
            'tools/dataset_converters/pack.py'
        )
    return stamp, data


@lru_cache(maxsize=16)
def _map(path: str, stamp: int) -> mmap.mmap:
    """Map a pack into this process, once; the pages are those of all other processes."""
    try:
        with open(path, 'rb') as file:
            found = _read_header(file, Path(path))[0]
            pixels = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UserError(f"cannot read the pack '{path}': {error.strerror}") from error
    if found != stamp:
        raise UserError(f"the pack '{path}' was made anew meanwhile: start the run again")
    return pixels
