"""Facts about an image file: kind, size, and whether it is complete."""

import hashlib
from pathlib import Path
from typing import NamedTuple, Optional, Tuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmspd.datasets.image_io import read_rgb
from mmspd.datasets.photo_io.depth import read_maximum
from mmspd.datasets.photo_io.source import DamagedError, open_header, upright_size
from mmspd.errors import UserError, file_errors

__all__ = ['ImageFacts', 'examine_image']

_GRAY_MODES = ('1', 'L', 'LA', 'La')
_ALPHA_MODES = ('RGBA', 'RGBa', 'PA')


class ImageFacts(NamedTuple):
    """Facts about an image file.

    Attributes:
        problem: The reason why the file cannot be read; ``''`` if it is readable.
        kind: ``'gray'``, ``'alpha'`` or ``'16-bit'`` (more than 8 bits); ``''`` for 8-bit color.
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
    facts = _read_header(path)
    if quick or facts.problem:
        return facts, None
    try:
        with file_errors(path):
            with open_header(path) as (image, _):
                if image.format == 'PNG':
                    image.verify()  # the checksums, which decoders ignore
            pixels = read_rgb(path, convert=True)
    except UserError as error:
        return facts._replace(problem=_problem_of(path, error)), None
    digest = hashlib.blake2b(pixels.data, digest_size=16, person=str(pixels.shape).encode())
    return facts._replace(size=pixels.shape[1::-1], digest=digest.digest()), pixels


def _read_header(path: Path) -> ImageFacts:
    try:
        with open_header(path) as (image, data):
            deep = read_maximum(path, image, data) > 255
            return ImageFacts('', '16-bit' if deep else _kind(image), upright_size(image)[::-1])
    except UserError as error:
        return ImageFacts(_problem_of(path, error))
    except OSError as error:
        return ImageFacts(error.strerror or str(error))


def _problem_of(path: Path, error: UserError) -> str:
    damage = error.__cause__ if isinstance(error.__cause__, DamagedError) else error
    if not isinstance(damage, DamagedError):
        return str(error).partition(';')[0].replace(f"'{path}' ", '')
    if isinstance(damage.__cause__, UnidentifiedImageError):
        return 'not an image'
    return f'damaged: {damage.__cause__}' if path.stat().st_size else 'empty'


def _kind(image: Image.Image) -> str:
    """Return the kind of an 8-bit image that is not RGB, else an empty string."""
    if image.mode in _GRAY_MODES:
        return 'gray'
    return 'alpha' if image.mode in _ALPHA_MODES or 'transparency' in image.info else ''
