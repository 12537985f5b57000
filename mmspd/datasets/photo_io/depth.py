"""Decode photos of more than 8 bits per channel, which Pillow would reduce to 8 bits."""

import re
from io import BytesIO
from pathlib import Path
from typing import Optional, Union

import cv2
import numpy as np
from PIL.ImageFile import ImageFile

from mmspd.datasets.photo_io.metadata import is_complete_png
from mmspd.datasets.photo_io.source import DamagedError, open_image, without_comments
from mmspd.datasets.photo_io.tiff import finish_tiff16, tiff_maximum
from mmspd.errors import UserError

__all__ = ['decode_deep', 'read_maximum', 'scale']

_PNG_GRAY_ALPHA = 4  # color type


def read_maximum(path: Union[str, Path], image: ImageFile, data: bytes) -> int:
    """Read the largest value that a channel can have in the file.

    Args:
        path: Name of the file, for error messages.
        image: The opened image, before its pixels are decoded.
        data: Content of the file, or its beginning.

    Returns:
        The value, such as 255 or 65535. One to seven bits count as 255, because Pillow scales their
        values, except for PPM files, whose maximum can be any number.

    Raises:
        UserError: This kind of TIFF is not supported.
    """
    if image.format == 'PNG':
        if data[12:16] != b'IHDR':
            raise DamagedError(f"'{path}' is not a standard PNG file; save it again as PNG.")
        return 65535 if data[24] == 16 else 255
    if image.format == 'TIFF':
        return tiff_maximum(path, image)
    if image.format == 'PPM':
        arguments = image.tile[0].args
        if isinstance(arguments, tuple) and image.mode != 'F':
            return int(arguments[1])
        return 65535 if image.mode == 'I' else 255
    if image.format == 'AVIF':
        return _read_avif_maximum(data)
    return 2 ** int(image.info.get('bit_depth', 8)) - 1  # pillow-heif tells the depth


def _read_avif_maximum(data: bytes) -> int:
    maxima = set()
    for box in re.finditer(rb'av1C..(.)', data, re.DOTALL):
        # the flags for 10 and 12 bits are in the third byte of the codec's configuration
        flags = box[1][0]
        maxima.add(255 if not flags & 64 else 4095 if flags & 32 else 1023)
    if len(maxima) > 1:  # the file also has another image, such as a gain map
        pixels = _read_by_opencv(data)
        if pixels is not None and pixels.dtype == np.uint8:
            return 255
    return max(maxima)


def decode_deep(path: Union[str, Path], image: ImageFile, data: bytes, maximum: int) -> np.ndarray:
    """Decode more than 8 bits per channel.

    Args:
        path: Name of the file, for error messages.
        image: The image after Pillow has decoded it, which checks that the file is complete.
        data: Content of the file.
        maximum: The largest value that a channel can have in the file.

    Returns:
        Pixels ``(H, W, C)``, uint16, scaled to 0..65535.

    Raises:
        UserError: The decoder does not support this file.
    """
    if image.format == 'PNG' and not is_complete_png(BytesIO(data)):
        # OpenCV would allocate the length that a chunk declares
        raise DamagedError(f"'{path}' is damaged or incomplete (truncated chunk); copy it again.")
    pixels: Optional[np.ndarray]
    if image.format == 'PPM':
        pixels = _read_pnm(path, data)
    else:
        pixels = _read_heif(data) if image.format == 'HEIF' else _read_by_opencv(data)
    if pixels is None or pixels.dtype != np.uint16 or pixels.shape[:2] != image.size[::-1]:
        raise UserError(
            f"'{path}' has {maximum.bit_length()} bits per channel, which cannot be read from this "
            f'{image.format} file; convert it to 16-bit PNG.'
        )
    if image.format == 'TIFF':
        return finish_tiff16(image, pixels)
    if image.format == 'PNG' and data[25] == _PNG_GRAY_ALPHA:
        return np.ascontiguousarray(pixels[..., [0, -1]])
    key = image.info.get('transparency')
    if isinstance(key, int) and pixels.shape[2] == 1:
        # the PNG file has a transparent gray value, which OpenCV ignores
        return np.dstack([pixels, np.where(pixels == key, 0, 65535).astype(np.uint16)])
    return scale(pixels, maximum, 65535)


def scale(values: np.ndarray, maximum: int, new_maximum: int) -> np.ndarray:
    """Scale values from 0..maximum to 0..new_maximum, rounded.

    Args:
        values: Values, uint8 or uint16. Larger values than ``maximum`` count as ``maximum``.
        maximum: Old maximum, at most 65535.
        new_maximum: New maximum, at most 65535.

    Returns:
        Values of the same shape, uint8 if the new maximum is at most 255, else uint16.

    Examples:
        >>> import numpy as np
        >>> from mmspd.datasets.photo_io.depth import scale
        >>> scale(np.array([0, 512, 1023], np.uint16), 1023, 65535).tolist()
        [0, 32800, 65535]
    """
    dtype = np.uint8 if new_maximum <= 255 else np.uint16
    if maximum == new_maximum:
        return values.astype(dtype, copy=False)
    count = np.iinfo(values.dtype).max + 1
    whole = np.minimum(np.arange(count, dtype=np.int64), maximum)
    # a table needs less memory than arithmetic with all values
    table = ((whole * new_maximum + maximum // 2) // maximum).astype(dtype)
    return table[values]


def _read_by_opencv(data: bytes) -> Optional[np.ndarray]:
    """Return the stored pixels with channels in the order RGBA."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        return None
    if pixels.ndim == 2:
        return pixels[..., None]
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def _read_pnm(path: Union[str, Path], data: bytes) -> np.ndarray:
    plain = data[:2] in (b'P2', b'P3')
    if plain:
        data = without_comments(data)
    image = open_image(path, data)
    (width, height), channels = image.size, 3 if image.mode == 'RGB' else 1
    start, count = image.tile[0].offset, width * height * channels
    if plain:
        values = np.fromstring(data[start:].decode('ascii'), np.uint16, count, sep=' ')
    else:
        values = np.frombuffer(data, '>u2', count, start)
    return values.astype(np.uint16).reshape(height, width, channels)


def _read_heif(data: bytes) -> np.ndarray:
    import pillow_heif  # optional: only HEIC photos need it

    file = pillow_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=False, hdr_to_16bit=False)
    pixels = np.asarray(file)
    return pixels[..., None] if pixels.ndim == 2 else pixels
