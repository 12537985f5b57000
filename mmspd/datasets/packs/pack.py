"""Packs: the images of a split, decoded once and read by memory map.

A pack is a folder of two files. ``pixels.npy`` is a flat uint8 array; every image is a slice of it
with shape (H, W, 3), RGB. ``index.json`` holds the fields of :class:`Pack`: the place, the checksum
and the source file of every image.
"""

import json
import zlib
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from mmspd.errors import UserError

__all__ = ['INDEX', 'PIXELS', 'Pack', 'PackedImage', 'PackedPair', 'PairPlace', 'read_pack']

PIXELS, INDEX = 'pixels.npy', 'index.json'

_FIX = 'make it again with tools/dataset_converters/pack.py'


@dataclass(frozen=True)
class PackedImage:
    """An image in a pack.

    Args:
        file: The image file, relative to the data set's folder.
        size: Its length in bytes.
        mtime_ns: When it was last changed, in nanoseconds.
        offset: Index of its first value in the pack's array.
        checksum: CRC-32 of its pixels; 0 until the pack is made.
    """

    file: str
    size: int
    mtime_ns: int
    offset: int
    checksum: int = 0


@dataclass(frozen=True)
class PackedPair:
    """A pair in a pack; both images are H x W.

    Args:
        key: Name that is unique within the pack.
        severity: Severity of the blur where it is recorded.
        height: H in pixels.
        width: W in pixels.
        images: The blurry and the sharp image, or one image that stands for both.
    """

    key: str
    severity: Optional[str]
    height: int
    width: int
    images: List[PackedImage]

    @property
    def nbytes(self) -> int:
        """Length of one image's pixels in bytes."""
        return self.height * self.width * 3


class PairPlace(NamedTuple):
    """The place of a pair's pixels: all that a sample carries of its pack.

    Args:
        path: The pack.
        modified: When its pixels were last changed, in nanoseconds.
        height: H in pixels.
        width: W in pixels.
        blur: Index of the blurry image's first value.
        sharp: Index of the sharp image's first value.
    """

    path: str
    modified: int
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
            UserError: The pack was removed or replaced after the dataset had opened it.
        """
        pixels = _map_pixels(self.path, self.modified)
        shape, count = (self.height, self.width, 3), self.height * self.width * 3
        blurry, sharp = (
            pixels[offset : offset + count].reshape(shape) for offset in (self.blur, self.sharp)
        )
        return blurry, sharp


@dataclass(frozen=True)
class Pack:
    """A pack, or the plan of one.

    Args:
        path: Its folder.
        choices: The dataset's choices, which decide which pairs these are.
        source: Folder of the data set.
        version: Version of mmspd.
        to_rgb: Whether gray, alpha and 16-bit images are converted.
        pairs: The pairs, in the order of the dataset.
        modified: When its pixels were last changed, in nanoseconds; 0 for a plan.
    """

    path: Path
    choices: Dict[str, str]
    source: str
    version: str
    to_rgb: bool
    pairs: List[PackedPair]
    modified: int = 0

    @property
    def complete(self) -> bool:
        """Whether the pack is made."""
        return self.modified > 0

    @property
    def nbytes(self) -> int:
        """Length of the array."""
        return sum(pair.nbytes * len(pair.images) for pair in self.pairs)

    def to_json(self) -> str:
        """Return the index in one line of ASCII text."""
        fields = asdict(self)
        del fields['path'], fields['modified']
        return json.dumps(fields)

    def place(self, pair: PackedPair) -> PairPlace:
        """Return the place of a pair's pixels."""
        offsets = pair.images[0].offset, pair.images[-1].offset
        return PairPlace(str(self.path), self.modified, pair.height, pair.width, *offsets)

    def checksums(self, pair: PackedPair) -> List[int]:
        """Read the images of a pair from the disk and return their checksums."""
        file = self.path / PIXELS
        start = np.load(file, mmap_mode='r').offset
        # a plain read reports a failing disk as an error, a memory map ends the process
        return [
            zlib.crc32(np.fromfile(file, np.uint8, pair.nbytes, offset=start + image.offset).data)
            for image in pair.images
        ]

    def verify(self) -> List[str]:
        """Read all pixels and compare the checksums.

        Returns:
            The image files, relative to the data set's folder, whose pixels are damaged.

        Raises:
            UserError: The pixels cannot be read.
        """
        try:
            return [
                image.file
                for pair in self.pairs
                for image, checksum in zip(pair.images, self.checksums(pair))
                if checksum != image.checksum
            ]
        except OSError as error:
            raise _unreadable(self.path, error) from error


def read_pack(path: Path) -> Pack:
    """Read the index of a pack and check the length of its pixels.

    Args:
        path: Folder of a pack.

    Raises:
        UserError: The pack cannot be read, or is cut off or damaged.
    """
    try:
        fields = json.loads((path / INDEX).read_text('utf-8'))
        for pair in fields['pairs']:
            pair['images'] = [PackedImage(**image) for image in pair['images']]
        fields['pairs'] = [PackedPair(**pair) for pair in fields['pairs']]
        pack = Pack(path, **fields, modified=(path / PIXELS).stat().st_mtime_ns)
        pixels = np.load(path / PIXELS, mmap_mode='r')
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise UserError(f"'{path}' is cut off or no pack ({error}): {_FIX}") from error
    if pixels.dtype != np.uint8 or pixels.shape != (pack.nbytes,):
        raise UserError(
            f"'{path / PIXELS}' has {pixels.dtype} values of shape {pixels.shape}, but its index "
            f'describes {pack.nbytes} of uint8: {_FIX}'
        )
    return pack


def _unreadable(path: Path, error: OSError) -> UserError:
    """Return the error for a pack that the disk does not give."""
    return UserError(f"cannot read the pack '{path}' ({error.strerror or error}): {_FIX}")


@lru_cache(maxsize=16)
def _map_pixels(path: str, modified: int) -> np.ndarray:
    """Map a pack into this process, once; all processes share its pages."""
    file = Path(path, PIXELS)
    if not file.is_file() or file.stat().st_mtime_ns != modified:
        raise UserError(
            f"the pack '{path}' was replaced or removed during the run: start the run again"
        )
    return np.asarray(np.load(file, mmap_mode='r'))
