"""Facts about an image file: kind, size, and whether it is complete."""

import hashlib
import warnings
from pathlib import Path
from typing import NamedTuple, Optional, Tuple

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from mmspd.datasets.image_io import read_rgb, upright_size
from mmspd.errors import UserError

__all__ = ['ImageFacts', 'examine_image']

_GRAY_MODES = ('1', 'L', 'LA', 'La')
_ALPHA_MODES = ('RGBA', 'RGBa', 'PA')


class ImageFacts(NamedTuple):
    """Facts about an image file.

    Attributes:
        problem: The reason why the file cannot be read; ``''`` if it is readable.
        kind: ``'gray'``, ``'alpha'`` or ``'16-bit'``; ``''`` for 8-bit color.
        size: Width and height in pixels after the EXIF orientation is applied; ``None`` if the
            file is unreadable.
        digest: Hash of the pixels; ``None`` if the pixels were not read.
    """

    problem: str = ''
    kind: str = ''
    size: Optional[Tuple[int, int]] = None
    digest: Optional[bytes] = None


def examine_image(path: Path, quick: bool) -> Tuple[ImageFacts, Optional[np.ndarray]]:
    """Read an image file.

    Args:
        path: The file.
        quick: Whether to read only the header.

    Returns:
        The facts and the pixels, converted to RGB, uint8, shape ``(H, W, 3)``. The pixels are
        ``None`` if the file is unreadable or ``quick`` is set.
    """
    facts = _ask_pillow(path, whole=not quick)
    if quick or facts.problem:
        return facts, None
    try:
        pixels = read_rgb(path, convert=True)
    except UserError:
        return facts._replace(problem='damaged'), None
    digest = hashlib.blake2b(pixels.data, digest_size=16, person=str(pixels.shape).encode())
    return facts._replace(size=pixels.shape[1::-1], digest=digest.digest()), pixels


def _ask_pillow(path: Path, whole: bool) -> ImageFacts:
    """Read the header with Pillow, and check that the file is complete.

    OpenCV may decode a truncated file without an error. Therefore this function compares the
    checksums of a PNG file, and decodes a file of another format.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # damaged EXIF data does not matter
            with Image.open(path) as image:
                facts = ImageFacts('', _kind(image), upright_size(image)[::-1])
                if whole:
                    (image.verify if image.format == 'PNG' else image.load)()
    except UnidentifiedImageError:
        return ImageFacts('not an image' if path.stat().st_size else 'empty')
    except Exception as error:  # Pillow raises many kinds of errors for damaged files
        return ImageFacts(getattr(error, 'strerror', None) or f'damaged: {error}')
    return facts


def _kind(image: ImageFile.ImageFile) -> str:
    """Return the kind of an image that is not 8-bit color, else an empty string."""
    # Pillow reports an 8-bit mode for 16-bit color, but the decoder's raw mode has the true depth
    if image.mode[0] in 'IF' or any(';16' in str(tile[3]) for tile in image.tile):
        return '16-bit'
    if image.mode in _GRAY_MODES:
        return 'gray'
    return 'alpha' if image.mode in _ALPHA_MODES or 'transparency' in image.info else ''
