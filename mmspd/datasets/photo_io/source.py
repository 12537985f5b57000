"""Open the files of photos, within limits of size and time."""

import re
import stat
import warnings
from collections import Counter
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Iterator, Optional, Tuple, Union

from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from mmspd.datasets.photo_io.metadata import png_chunks
from mmspd.errors import UserError

__all__ = [
    'DamagedError',
    'guard',
    'open_header',
    'open_image',
    'orientation_of',
    'read_file',
    'upright_size',
    'without_comments',
]

#: Limit of the size of a file in bytes. 178 megapixels of 4 x 16 bits have 1.4 GB.
MAX_BYTES = 2**31

# Pillow opens more formats. Some of them are documents that run other programs.
_FORMATS = ('PNG', 'JPEG', 'MPO', 'TIFF', 'BMP', 'WEBP', 'PPM', 'GIF', 'AVIF', 'HEIF')
_PNG_MAGIC, _JPEG_MAGIC = b'\x89PNG\r\n\x1a\n', b'\xff\xd8'
_TIFF_MAGICS = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
# Pillow's own variants of PPM have other letters.
_PLAIN_PNM = (b'P1', b'P2', b'P3')
_PNM_MAGIC = re.compile(rb'P[1-6]')
_PNM_HEADER_BYTES = 2**16  # Pillow reads the header byte by byte
_ORIENTATION = 274  # the EXIF and TIFF tag

# Names of the PNG chunks and texts that can have an orientation.
_PNG_EXIF = (b'eXIf', b'XML:com.adobe.xmp', b'Raw profile type exif')

# Segments of a JPEG file. In the pixels, the byte FF is followed by 00 or by D0 to D7.
_JPEG_MARKER = re.compile(rb'\xff([^\x00\x01\xd0-\xd8\xff])')
_JPEG_SCAN, _JPEG_APP1, _JPEG_END = 0xDA, 0xE1, 0xD9
# The time of each scan grows with the size of the photo; progressive files have about 10 scans.
# EXIF that is split into parts takes quadratic time.
_JPEG_LIMITS = {_JPEG_SCAN: (100, 'scans'), _JPEG_APP1: (100, 'EXIF segments')}
_JPEG_SEGMENTS = 10_000  # of all kinds

# The header of an image is expected in this part of a file. The frames of a larger file are not
# counted, because this takes time.
_HEAD_BYTES = 2**20


class DamagedError(UserError):
    """Reports a file that is empty, damaged or not an image."""


def read_file(path: Union[str, Path], noun: str = 'photo') -> bytes:
    """Read the content of a photo file.

    Args:
        path: The file.
        noun: Name of the file for error messages.

    Returns:
        The content.

    Raises:
        UserError: The file is missing or unreadable, is not a regular file, or is larger than
            :data:`MAX_BYTES`.
    """
    try:
        _check_file(path, noun)
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(
            f"Cannot read the {noun} '{path}' ({error.strerror}); check the path and the "
            'permissions.'
        ) from error


@contextmanager
def guard(path: Union[str, Path]) -> Iterator[None]:
    """Turn the errors of decoders into sentences.

    Args:
        path: Name of the file, for error messages.

    Yields:
        Nothing.

    Raises:
        DamagedError: The file is damaged or not an image of a known kind.
        UserError: The image is too large.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns about large photos and about small faults of the metadata
            warnings.simplefilter('ignore')
            yield
    except UserError:
        raise
    except UnidentifiedImageError as error:
        fix = 'convert it to PNG or JPEG, or remove it'
        if Path(path).suffix.lower() in ('.heic', '.heif', '.hif'):
            fix = 'for HEIC photos, run pip install pillow-heif'
        raise DamagedError(
            f"'{path}' is damaged or not an image of a known kind; {fix}."
        ) from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise UserError(
            f"'{path}' has more than {limit} megapixels; cut it into parts or reduce its size."
        ) from error
    except MemoryError as error:
        raise UserError(
            f"'{path}' needs more memory than is available; reduce the size of the photo."
        ) from error
    except Exception as error:  # decoders raise errors of many kinds for damaged files
        reason = ' '.join(str(error).split())[:200] or type(error).__name__
        raise DamagedError(
            f"'{path}' is damaged or incomplete ({reason}); copy it again."
        ) from error


def open_image(path: Union[str, Path], data: bytes, stream: Optional[BinaryIO] = None) -> ImageFile:
    """Open the content of a file with Pillow and read its header.

    Args:
        path: Name of the file, for error messages.
        data: Content of the file, or its beginning.
        stream: The opened file, if ``data`` is the beginning.

    Returns:
        The image. Its pixels are not decoded yet.

    Raises:
        DamagedError: The file is empty, damaged or not an image of a known kind.
        UserError: The image is too large, or the file contains several images.
    """
    if not data:
        raise DamagedError(
            f"Cannot decode '{path}', because it is empty (0 bytes); copy it again or remove it."
        )
    _register_heif()
    Image.init()
    with guard(path):
        if data[:2] == _JPEG_MAGIC:
            _check_jpeg(path, data)
        if _PNM_MAGIC.match(data):
            _check_pnm(path, data)
        if data[:2] in _PLAIN_PNM:
            stream = BytesIO(without_comments(data))
        formats = [name for name in _FORMATS if name in Image.OPEN]
        try:
            image = Image.open(stream or BytesIO(data), formats=formats)
        except UnidentifiedImageError as error:
            if data[:4] not in _TIFF_MAGICS:
                raise
            raise DamagedError(
                f"'{path}' is damaged, or its kind of TIFF is not supported; convert it to RGB or "
                'gray with 8 or 16 bits.'
            ) from error
        if image.format == 'PPM' and not _PNM_MAGIC.match(data):
            raise UnidentifiedImageError
        # the other images in the JPEG file of a phone are depth maps and similar data
        if image.format != 'MPO' and getattr(image, 'is_animated', False):
            known = image.format != 'TIFF' and len(data) < _HEAD_BYTES
            count = getattr(image, 'n_frames', 1) if known else 'several'
            raise UserError(
                f"'{path}' contains {count} images; split it, or convert an animation to a video."
            )
    return image


@contextmanager
def open_header(path: Union[str, Path]) -> Iterator[Tuple[ImageFile, bytes]]:
    """Open a file with Pillow to read its header, without reading the rest of the file.

    Args:
        path: The file.

    Yields:
        The image, whose pixels are not decoded yet, and the beginning of the file.

    Raises:
        OSError: The file cannot be opened.
        DamagedError: The file is empty, damaged or not an image of a known kind.
        UserError: The image is too large, or the file contains several images.
    """
    _check_file(path, 'photo')
    with open(path, 'rb') as file:
        head = file.read(_HEAD_BYTES)
        if head.startswith(_JPEG_MAGIC):
            head += file.read()  # the segments of the whole file are counted
        chunks = png_chunks(file) if head.startswith(_PNG_MAGIC) else b''
        file.seek(0)
        with open_image(path, head, file) as image:
            if image.format == 'PNG' and not any(name in chunks for name in _PNG_EXIF):
                image.info.setdefault('exif', b'')  # Pillow would decode all pixels to find it
            with guard(path):
                yield image, head


def without_comments(data: bytes) -> bytes:
    """Remove the comments of a plain PBM, PGM or PPM file. Pillow takes quadratic time for this."""
    return re.sub(rb'#[^\r\n]*', b'', data)


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation that has to be applied to the pixels.

    AVIF and HEIC files also have an orientation outside of the EXIF data. Pillow merges it into the
    EXIF data.

    Args:
        image: An opened image file.

    Returns:
        A number from 1 to 8. TIFF files return 1, because their decoders apply the orientation.
    """
    if image.format in ('TIFF', 'BMP', 'PPM', 'GIF'):
        return 1
    if image.info.get('exif'):
        # Pillow ignores damaged EXIF data if it has read the density of a JPEG file from it
        Image.Exif().load(image.info['exif'])
    value = image.getexif().get(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def upright_size(image: Image.Image) -> Tuple[int, int]:
    """Return the size of an opened image after its EXIF orientation is applied.

    Args:
        image: An opened image file. The pixels of a PNG file are only decoded if it has texts or
            EXIF data.

    Returns:
        ``(H, W)`` in pixels, as of the decoded pixels.
    """
    turned = orientation_of(image) > 4  # these orientations swap height and width
    return image.size if turned else image.size[::-1]


def _check_file(path: Union[str, Path], noun: str) -> None:
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        # reading a pipe or a device might never end
        raise UserError(f"'{path}' is not a regular file; give the file of a {noun}.")
    if status.st_size > MAX_BYTES:
        raise UserError(
            f"'{path}' is larger than {MAX_BYTES // 2**30} GiB; cut the {noun} into parts or "
            'reduce its size.'
        )


def _check_jpeg(path: Union[str, Path], data: bytes) -> None:
    """Refuse a JPEG file that has too many parts of a kind."""
    counts: Counter = Counter()
    number = 0
    marker = _JPEG_MARKER.search(data, 2)
    while marker is not None and marker[1][0] != _JPEG_END:
        kind, start = marker[1][0], marker.end()
        if kind != _JPEG_APP1 or data[start + 2 : start + 6] == b'Exif':
            counts[kind] += 1
        number += 1
        limit, name = _JPEG_LIMITS.get(kind, (None, ''))
        if limit is not None and counts[kind] > limit:
            raise UserError(f"'{path}' has more than {limit} {name}; save it again as JPEG.")
        if number > _JPEG_SEGMENTS:
            raise UserError(
                f"'{path}' has more than {_JPEG_SEGMENTS} segments; save it again as JPEG."
            )
        marker = _JPEG_MARKER.search(data, start + int.from_bytes(data[start : start + 2], 'big'))


def _check_pnm(path: Union[str, Path], data: bytes) -> None:
    """Refuse a PBM, PGM or PPM file with a long header, such as one with many comments."""
    words = 3 if data[1:2] in b'14' else 4  # PBM has no largest value
    head = without_comments(data[:_PNM_HEADER_BYTES])
    if len(data) > _PNM_HEADER_BYTES and len(head.split(maxsplit=words)) < words:
        raise UserError(
            f"'{path}' has a header of more than {_PNM_HEADER_BYTES} bytes; save it again."
        )


@lru_cache(maxsize=1)
def _register_heif() -> None:
    try:
        import pillow_heif  # optional: only HEIC photos need it
    except ModuleNotFoundError:
        return
    pillow_heif.register_heif_opener()
