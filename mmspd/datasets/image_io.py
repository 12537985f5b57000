"""Read and write 8-bit color images, and list the images of a folder."""

import functools
import os
from collections import Counter
from pathlib import Path
from typing import Dict, List, Tuple, Union

import cv2
import numpy as np
from mmengine.logging import print_log

from mmspd.datasets.photo_io.decode import decode
from mmspd.datasets.photo_io.depth import scale
from mmspd.datasets.photo_io.source import DamagedError, open_header, read_file, upright_size
from mmspd.datasets.photo_io.suffixes import IMAGE_SUFFIXES
from mmspd.datasets.photo_io.tensors import as_rgb
from mmspd.errors import UserError
from mmspd.utils.files import write_bytes
from mmspd.utils.skipped import kind_of, one_line, skipped_line
from mmspd.utils.walk import list_files, list_folder

__all__ = [
    'IMAGE_SUFFIXES',
    'ColorError',
    'images_by_stem',
    'list_images',
    'list_names',
    'photos_by_key',
    'read_rgb',
    'read_size',
    'write_png',
]


class ColorError(UserError):
    """Reports an image that is gray, has an alpha channel, or has more than 8 bits per channel."""


def read_rgb(path: Union[str, os.PathLike], convert: bool = False) -> np.ndarray:
    """Read an 8-bit color image file into a new array.

    The file is read by the rules of :func:`~mmspd.datasets.photo_io.photo.read_photo`. For
    example, the EXIF orientation is applied.

    Args:
        path: An image file.
        convert: Whether to convert other images instead of raising :class:`ColorError`. A gray
            channel is repeated three times, an alpha channel is dropped, and 16 bits are rounded to
            8 bits (65535 becomes 255).

    Returns:
        RGB, uint8, shape ``(H, W, 3)``, C-contiguous, writable.

    Raises:
        UserError: The file is missing or unreadable.
        ColorError: The image is gray, has an alpha channel, or has more than 8 bits per channel.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from mmspd.datasets.image_io import read_rgb, read_size, write_png
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, 'red.png')
        ...     write_png(path, np.full((32, 48, 3), (255, 0, 0), np.uint8))
        ...     read_size(path), read_rgb(path)[0, 0].tolist()
        ((32, 48), [255, 0, 0])
    """
    path = Path(path)
    data = read_file(path, 'image')
    try:
        pixels, _, maximum, _, _ = decode(path, data)
    except DamagedError as error:
        raise UserError(
            f"Cannot decode '{path}' ({len(data)} bytes), because it is damaged or not an image; "
            'copy the file again or remove it.'
        ) from error
    if convert:
        pixels = _to_8_bit_color(pixels)
    elif pixels.dtype != np.uint8:
        raise ColorError(
            f"'{path}' has {maximum.bit_length()} bits per channel; convert it to 8-bit RGB."
        )
    elif pixels.shape[2] != 3:
        kind = 'no color (gray)' if pixels.shape[2] == 1 else 'an alpha channel'
        raise ColorError(f"'{path}' has {kind}; convert it to 8-bit RGB.")
    return np.require(pixels, requirements=['C', 'W'])


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an image as PNG, atomically.

    Args:
        path: The file. Its folder is created if it does not exist.
        image: RGB, uint8, shape ``(H, W, 3)``.

    Raises:
        UserError: The disk is full, or the file cannot be written.
    """
    done, data = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise RuntimeError(f"OpenCV cannot encode '{path}' as PNG.")
    write_bytes(path, data.tobytes())


def read_size(path: Union[str, os.PathLike]) -> Tuple[int, int]:
    """Read the size of an image from its header.

    Args:
        path: An image file.

    Returns:
        ``(H, W)`` in pixels, as in the array that :func:`read_rgb` returns.

    Raises:
        UserError: The file is missing or not an image.
    """
    try:
        with open_header(Path(path)) as (image, _):
            return upright_size(image)
    except DamagedError as error:
        raise UserError(
            f"Cannot decode '{path}', because it is damaged or not an image; copy the file again "
            'or remove it.'
        ) from error
    except OSError as error:
        raise UserError(
            f"Cannot read the image '{path}' ({error.strerror or error}); check the path and the "
            'permissions.'
        ) from error


def _to_8_bit_color(pixels: np.ndarray) -> np.ndarray:
    """Convert gray or RGB pixels, with or without alpha, to 8-bit RGB."""
    if pixels.dtype == np.uint16:
        # dropping the low byte instead would darken the image
        pixels = scale(pixels, 65535, 255)
    return as_rgb(pixels)


def list_images(folder: Path) -> List[Path]:
    """Find the images below a folder, at any depth.

    Links are followed; see :func:`~mmspd.utils.walk.list_files`. The log says which other files and
    folders are skipped. Hidden files are not mentioned.

    Args:
        folder: An existing folder.

    Returns:
        The paths, sorted.

    Raises:
        UserError: A folder cannot be listed.
    """
    listing = list_files(folder)
    for sentence in listing.failures.values():
        raise UserError(sentence)
    images = [path for path in listing.files if path.suffix.lower() in IMAGE_SUFFIXES]
    others = (path for path in listing.files if path.suffix.lower() not in IMAGE_SUFFIXES)
    skipped = {**listing.skipped, **{path: kind_of(path) for path in others}}
    if skipped:
        _log_once(f"'{one_line(str(folder))}': {skipped_line(skipped, ['image'])}")
    return sorted(images)


@functools.lru_cache
def _log_once(line: str) -> None:
    """Log a line, unless it has been logged: a folder may be listed several times."""
    print_log(line, 'current')


def images_by_stem(folder: Path) -> Dict[str, Path]:
    """Find the images below a folder, at any depth; see :func:`list_images`.

    Args:
        folder: An existing folder.

    Returns:
        A dict from name to path, sorted by name. The name is the path relative to ``folder``,
        without suffix and with forward slashes.

    Raises:
        UserError: Two images differ only in their suffix, or a folder cannot be listed.
    """
    images: Dict[str, Path] = {}
    for path in list_images(folder):
        stem = path.relative_to(folder).with_suffix('').as_posix()
        if stem in images:
            raise UserError(
                f"'{images[stem]}' and '{path}' differ only in their suffix; rename one of them."
            )
        images[stem] = path
    return dict(sorted(images.items()))


def photos_by_key(folder: Path) -> Dict[str, Path]:
    """Find the photos below a folder, at any depth; see :func:`list_images`.

    Args:
        folder: An existing folder.

    Returns:
        A dict from key to path, sorted by key. The key is the path relative to ``folder``, without
        suffix and with forward slashes. If several photos differ only in their suffix, their keys
        have the suffix.

    Raises:
        UserError: A folder cannot be listed.
    """
    paths = [path.relative_to(folder) for path in list_images(folder)]
    names = {path.as_posix() for path in paths}
    stems = Counter(path.with_suffix('').as_posix() for path in paths)
    photos = {}
    for path in paths:
        stem = path.with_suffix('').as_posix()
        # a key without suffix must not be the key of another photo with its suffix
        key = stem if stems[stem] == 1 and stem not in names else path.as_posix()
        photos[key] = folder / path
    return dict(sorted(photos.items()))


def list_names(folder: Path) -> str:
    """List the contents of a folder for an error message.

    Args:
        folder: An existing folder.

    Returns:
        Up to 8 names, separated by commas, or ``'nothing'``.
    """
    names = [one_line(entry.name, 60) for entry in list_folder(folder)]
    shown = ', '.join(names[:8]) + (', ...' if len(names) > 8 else '')
    return shown or 'nothing'
