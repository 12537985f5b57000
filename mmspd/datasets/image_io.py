"""Read and write 8-bit color images, and list the images of a folder."""

import os
from pathlib import Path
from typing import Dict, Iterator, Tuple, Union

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from mmspd.datasets.photo_io import IMAGE_SUFFIXES
from mmspd.errors import UserError
from mmspd.utils.files import write_bytes

__all__ = [
    'IMAGE_SUFFIXES',
    'ColorError',
    'find_images',
    'images_by_stem',
    'list_names',
    'read_rgb',
    'read_size',
    'upright_size',
    'write_png',
]

_JPEG_MAGIC = b'\xff\xd8'
_ORIENTATION = 0x0112  # EXIF tag


class ColorError(UserError):
    """Reports an image that is gray, has an alpha channel, or has more than 8 bits per channel."""


def read_rgb(path: Union[str, os.PathLike], convert: bool = False) -> np.ndarray:
    """Read an 8-bit color image file into a new array.

    The EXIF orientation of JPEG files is applied.

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
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise UserError(
            f"Cannot read the image '{path}' ({error.strerror}); check the path and the "
            'permissions.'
        ) from error
    # IMREAD_UNCHANGED keeps gray, alpha and 16 bits, but ignores the EXIF orientation of JPEG
    flags = cv2.IMREAD_UNCHANGED
    if data[:2].tobytes() == _JPEG_MAGIC:
        flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
    image = cv2.imdecode(data, flags) if data.size else None
    if image is None:
        raise UserError(
            f"Cannot decode '{path}' ({data.size} bytes), because it is damaged or not an image; "
            'copy the file again or remove it.'
        )
    if convert:
        image = _to_8_bit_color(image)
    if image.dtype != np.uint8:
        raise ColorError(
            f"'{path}' has {8 * image.dtype.itemsize} bits per channel; convert it to 8-bit RGB."
        )
    if image.ndim != 3 or image.shape[2] != 3:
        kind = 'an alpha channel' if image.ndim == 3 and image.shape[2] == 4 else 'no color (gray)'
        raise ColorError(f"'{path}' has {kind}; convert it to 8-bit RGB.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


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
        with Image.open(path) as image:
            return upright_size(image)
    except UnidentifiedImageError as error:
        raise UserError(
            f"Cannot decode '{path}', because it is damaged or not an image; copy the file again "
            'or remove it.'
        ) from error
    except OSError as error:
        raise UserError(
            f"Cannot read the image '{path}' ({error.strerror or error}); check the path and the "
            'permissions.'
        ) from error


def upright_size(image: Image.Image) -> Tuple[int, int]:
    """Return the size of an opened image after its EXIF orientation is applied.

    Args:
        image: An opened image file.

    Returns:
        ``(H, W)`` in pixels, as in the array that :func:`read_rgb` returns.
    """
    # read_rgb applies the orientation only to JPEG files; orientations 5 to 8 swap height and width
    turned = image.format in ('JPEG', 'MPO') and image.getexif().get(_ORIENTATION, 1) > 4
    return image.size if turned else image.size[::-1]


def _to_8_bit_color(image: np.ndarray) -> np.ndarray:
    """Convert an image decoded by OpenCV (gray, BGR or BGRA, 8 or 16 bits) to 8-bit BGR."""
    if image.dtype == np.uint16:
        # round to the nearest 8-bit value (65535 / 257 = 255), because dropping the low byte would
        # darken the image
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return np.ascontiguousarray(image[..., :3])


def images_by_stem(folder: Path) -> Dict[str, Path]:
    """Find the images below a folder with :func:`find_images`.

    Args:
        folder: An existing folder.

    Returns:
        A dict from name to path, sorted by name. The name is the path relative to ``folder``,
        without suffix and with forward slashes.

    Raises:
        UserError: Two images differ only in their suffix.
    """
    images: Dict[str, Path] = {}
    for path in find_images(folder):
        stem = path.relative_to(folder).with_suffix('').as_posix()
        if stem in images:
            raise UserError(
                f"'{images[stem]}' and '{path}' differ only in their suffix; rename one of them."
            )
        images[stem] = path
    return dict(sorted(images.items()))


def find_images(folder: Path) -> Iterator[Path]:
    """Yield the images below a folder, at any depth.

    Hidden files and folders are skipped, because macOS writes hidden files such as ``._name.png``
    next to ``name.png``.

    Args:
        folder: An existing folder.

    Yields:
        The paths, in any order.
    """
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith('.')]
        for name in names:
            if not name.startswith('.') and name.lower().endswith(IMAGE_SUFFIXES):
                yield Path(parent, name)


def list_names(folder: Path) -> str:
    """List the contents of a folder for an error message.

    Args:
        folder: An existing folder.

    Returns:
        Up to 8 names, separated by commas, or ``'nothing'``.
    """
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith('.'))
    shown = ', '.join(names[:8]) + (', ...' if len(names) > 8 else '')
    return shown or 'nothing'
