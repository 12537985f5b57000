"""Decode the content of photo files to upright pixels."""

from pathlib import Path
from typing import NamedTuple, Optional, Union

import numpy as np
from PIL.ImageFile import ImageFile

from mmspd.datasets.photo_io.colors import ToCMYK, decode8
from mmspd.datasets.photo_io.depth import decode_deep, read_maximum
from mmspd.datasets.photo_io.source import guard, open_image, orientation_of
from mmspd.datasets.photo_io.tiff import decode_palette

__all__ = ['Decoded', 'decode', 'turn_back']

#: Two steps that make the stored pixels upright, for each EXIF orientation: whether to mirror them
#: from left to right, and then the number of quarter turns to the left.
_UPRIGHT = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3)}
_UPRIGHT[8] = (False, 1)


class Decoded(NamedTuple):
    """Pixels of a photo and facts about its file.

    Attributes:
        pixels: Upright pixels ``(H, W, C)``, uint8 or uint16, scaled to the range of the dtype.
            They may be read-only.
        image: The image as Pillow sees it, with its format and metadata.
        maximum: The largest value that a channel can have in the file.
        orientation: EXIF orientation of the stored pixels.
        to_cmyk: For CMYK photos, the conversion of RGB back to CMYK.
    """

    pixels: np.ndarray
    image: ImageFile
    maximum: int
    orientation: int
    to_cmyk: Optional[ToCMYK]


def decode(path: Union[str, Path], data: bytes) -> Decoded:
    """Decode the content of a photo file.

    Args:
        path: Name of the file, for error messages.
        data: Content of the file.

    Returns:
        The pixels and facts about the file.

    Raises:
        DamagedError: The file is empty, damaged or not an image of a known kind.
        UserError: The image is of a kind that is not supported, is too large, or the file contains
            several images.
    """
    image = open_image(path, data)
    with guard(path):
        maximum = read_maximum(path, image, data)
        image.load()  # also checks that the file is complete
        orientation = orientation_of(image)
        to_cmyk = None
        if maximum > 255:
            pixels = decode_deep(path, image, data, maximum)
        elif image.format == 'TIFF' and image.mode == 'P':
            pixels = decode_palette(image)
            maximum = int(np.iinfo(pixels.dtype).max)
        else:
            pixels, to_cmyk = decode8(path, image, data[24] if image.format == 'PNG' else 8)
    mirrored, turns = _UPRIGHT.get(orientation, (False, 0))
    pixels = np.ascontiguousarray(np.rot90(pixels[:, ::-1] if mirrored else pixels, turns))
    return Decoded(pixels, image, maximum, orientation, to_cmyk)


def turn_back(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn upright pixels back to their stored orientation.

    Args:
        pixels: Upright pixels ``(H, W, C)``.
        orientation: EXIF orientation of the stored pixels.

    Returns:
        The stored pixels.
    """
    mirrored, turns = _UPRIGHT.get(orientation, (False, 0))
    pixels = np.rot90(pixels, -turns)
    return np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels)
