"""Packs: the decoded images of a split, read through a memory map.

A pack is a folder of two files. ``pixels.npy`` is a flat uint8 array that contains all images, each
as RGB values in the order ``(H, W, 3)``. ``index.json`` contains the fields of :class:`Pack`, with
the offset, the checksum and the source file of each image.
"""

import json
import zlib
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from mmspd.errors import UserError
from mmspd.utils.json_text import parse_json

__all__ = ['INDEX', 'PIXELS', 'Pack', 'PackedImage', 'PackedPair', 'PairPlace', 'read_pack']

PIXELS, INDEX = 'pixels.npy', 'index.json'

_FIX = 'make the pack again with mmspd pack'


@dataclass(frozen=True)
class PackedImage:
    """An image in a pack.

    Args:
        file: Path of the image file, relative to the folder of the data set.
        size: Size of the image file in bytes.
        mtime_ns: Modification time of the image file, in nanoseconds.
        offset: Index of the first value of the image in ``pixels.npy``.
        checksum: CRC-32 of the pixels; 0 until the pack is written.
    """

    file: str
    size: int
    mtime_ns: int
    offset: int
    checksum: int = 0


@dataclass(frozen=True)
class PackedPair:
    """A pair in a pack. Both images have the same size.

    Args:
        key: Unique name of the pair within the pack.
        severity: Recorded severity of the blur; ``None`` if it is not recorded.
        height: Height in pixels.
        width: Width in pixels.
        images: The blurry and the sharp image, or a single sharp photo.
    """

    key: str
    severity: Optional[str]
    height: int
    width: int
    images: List[PackedImage]

    @property
    def nbytes(self) -> int:
        """Number of bytes of an image."""
        return self.height * self.width * 3


class PairPlace(NamedTuple):
    """The location of a pair in a pack. Every sample contains a location, so it must be small.

    Attributes:
        path: Folder of the pack.
        modified: Modification time of ``pixels.npy``, in nanoseconds.
        height: Height in pixels.
        width: Width in pixels.
        blur: Index of the first value of the blurry image in ``pixels.npy``.
        sharp: Index of the first value of the sharp image in ``pixels.npy``.
    """

    path: str
    modified: int
    height: int
    width: int
    blur: int
    sharp: int

    def images(self) -> Tuple[np.ndarray, np.ndarray]:
        """Return the blurry and the sharp image as views of the memory map.

        Returns:
            Two read-only arrays, RGB, uint8, shape ``(H, W, 3)``. Pixels are read from the disk on
            access. The file stays mapped until the process ends.

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
    """The index of a pack, or the plan of a pack that is not written yet.

    Args:
        path: Folder of the pack.
        choices: Layout of the dataset, and the arguments that select its pairs.
        source: Folder of the data set.
        version: Version of mmspd that wrote the pack.
        to_rgb: Whether gray, alpha and 16-bit images are converted.
        pairs: The pairs in the order of the dataset.
        modified: Modification time of ``pixels.npy``, in nanoseconds; 0 for a plan.
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
        """Whether the pack is written."""
        return self.modified > 0

    @property
    def nbytes(self) -> int:
        """Number of bytes of all images."""
        return sum(pair.nbytes * len(pair.images) for pair in self.pairs)

    def to_json(self) -> str:
        """Return the index as one line of JSON, in ASCII."""
        fields = asdict(self)
        del fields['path'], fields['modified']
        return json.dumps(fields)

    def place(self, pair: PackedPair) -> PairPlace:
        """Return the location of a pair."""
        offsets = pair.images[0].offset, pair.images[-1].offset
        return PairPlace(str(self.path), self.modified, pair.height, pair.width, *offsets)

    def checksums(self, pair: PackedPair) -> List[int]:
        """Read the images of a pair and return their CRC-32 checksums."""
        file = self.path / PIXELS
        start = np.load(file, mmap_mode='r').offset
        # read without the memory map: on a failing disk, a plain read raises an error, but access
        # to the memory map ends the process
        return [
            zlib.crc32(np.fromfile(file, np.uint8, pair.nbytes, offset=start + image.offset).data)
            for image in pair.images
        ]

    def verify(self) -> List[str]:
        """Read all pixels and compare the checksums.

        Returns:
            The source files of the damaged images, relative to the folder of the data set.

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
    """Read the index of a pack and check the size of ``pixels.npy``.

    Args:
        path: Folder of the pack.

    Returns:
        The pack.

    Raises:
        UserError: The pack cannot be read or is damaged.
    """
    try:
        fields = parse_json((path / INDEX).read_text('utf-8'))
        for pair in fields['pairs']:
            pair['images'] = [PackedImage(**image) for image in pair['images']]
        fields['pairs'] = [PackedPair(**pair) for pair in fields['pairs']]
        pack = Pack(path, **fields, modified=(path / PIXELS).stat().st_mtime_ns)
        pixels = np.load(path / PIXELS, mmap_mode='r')
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise UserError(f"'{path}' is a damaged pack or no pack ({error}); {_FIX}.") from error
    if pixels.dtype != np.uint8 or pixels.shape != (pack.nbytes,):
        raise UserError(
            f"'{path / PIXELS}' has {pixels.dtype} values of shape {pixels.shape}, but the index "
            f'needs {pack.nbytes} uint8 values; {_FIX}.'
        )
    return pack


def _unreadable(path: Path, error: OSError) -> UserError:
    """Return the error for a pack that cannot be read."""
    return UserError(f"Cannot read the pack '{path}' ({error.strerror or error}); {_FIX}.")


@lru_cache(maxsize=16)
def _map_pixels(path: str, modified: int) -> np.ndarray:
    """Map the pixels of a pack once per process; all processes share the memory pages."""
    file = Path(path, PIXELS)
    if not file.is_file() or file.stat().st_mtime_ns != modified:
        raise UserError(
            f"The pack '{path}' was replaced or removed during the run; start the run again."
        )
    return np.asarray(np.load(file, mmap_mode='r'))
