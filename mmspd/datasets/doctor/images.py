"""What an image file is, and whether all of it is there."""

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
    """What is known of an image file.

    Args:
        problem: Why it cannot be read; ``''`` if it can.
        kind: ``'gray'``, ``'alpha'`` or ``'16-bit'``; ``''`` for 8-bit color.
        size: Width and height as training sees them; ``None`` if it cannot be read.
        digest: Hash of the pixels; ``None`` where they were not looked at.
    """

    problem: str = ''
    kind: str = ''
    size: Optional[Tuple[int, int]] = None
    digest: Optional[bytes] = None


def examine_image(path: Path, quick: bool) -> Tuple[ImageFacts, Optional[np.ndarray]]:
    """Look at an image file.

    Args:
        path: The file.
        quick: Only read the header.

    Returns:
        The facts, and the pixels, RGB, uint8, shape (H, W, 3), whatever kind of image it is; they
        are ``None`` where it cannot be read, or ``quick``.
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
    """Read the header, and see that nothing is missing: OpenCV may decode what is there of a file.

    A PNG image is whole if the checksums of all its chunks are right up to the last one; the others
    have none, and are decoded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of damaged EXIF data, which nobody reads
            with Image.open(path) as image:
                facts = ImageFacts('', _kind(image), upright_size(image)[::-1])
                if whole:
                    (image.verify if image.format == 'PNG' else image.load)()
    except UnidentifiedImageError:
        return ImageFacts('not an image' if path.stat().st_size else 'empty')
    except Exception as error:  # Pillow's decoders raise nearly anything when a file is damaged
        return ImageFacts(getattr(error, 'strerror', None) or f'damaged: {error}')
    return facts


def _kind(image: ImageFile.ImageFile) -> str:
    """Name what training refuses in an image that is not 8-bit color."""
    # Pillow gives 16-bit color the mode of 8 bits; what the file holds is in its decoder's layout
    if image.mode[0] in 'IF' or any(';16' in str(tile[3]) for tile in image.tile):
        return '16-bit'
    if image.mode in _GRAY_MODES:
        return 'gray'
    return 'alpha' if image.mode in _ALPHA_MODES or 'transparency' in image.info else ''
