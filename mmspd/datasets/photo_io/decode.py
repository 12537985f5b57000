"""Decode the files of photos."""

import struct
import warnings
from io import BytesIO
from pathlib import Path
from typing import Callable, Optional, Tuple, Union

import cv2
import numpy as np
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import TiffImageFile

from mmspd.errors import UserError

__all__ = ['decode_pixels', 'open_image']

# Pillow opens more formats. Some of them are documents that run other programs.
_FORMATS = ('PNG', 'JPEG', 'MPO', 'TIFF', 'BMP', 'WEBP', 'PPM', 'GIF', 'AVIF', 'HEIF')
# Exceptions that Pillow raises for damaged files, depending on the place of the damage.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error)
_MODES = {1: 'L', 2: 'LA', 3: 'RGB', 4: 'RGBA'}


def open_image(path: Union[str, Path], data: bytes) -> Image.Image:
    """Decode a file with Pillow, which also checks whether the file is complete."""
    _register_heif()
    Image.init()
    try:
        with warnings.catch_warnings():
            # Pillow warns about large photos and about small faults of the metadata
            warnings.simplefilter('ignore')
            image = Image.open(BytesIO(data), formats=[n for n in _FORMATS if n in Image.OPEN])
            # the other images in the JPEG file of a phone are depth maps and similar data
            frames = 1 if image.format == 'MPO' else getattr(image, 'n_frames', 1)
            if frames == 1:
                image.load()
                image.getexif()  # read the EXIF here, where errors of damaged files are caught
    except Image.UnidentifiedImageError as error:
        fix = 'convert it to PNG or JPEG, or remove it'
        if Path(path).suffix.lower() in ('.heic', '.heif'):
            fix = 'for HEIC photos, run pip install pillow-heif'
        raise UserError(f"'{path}' is damaged or not an image of a known kind; {fix}.") from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise UserError(
            f"'{path}' has more than {limit} megapixels; cut it into parts or reduce its size."
        ) from error
    except _DAMAGE as error:
        raise UserError(f"'{path}' is damaged or incomplete ({error}); copy it again.") from error
    if frames > 1:
        raise UserError(
            f"'{path}' contains {frames} images; split it, or convert an animation to a video."
        )
    return image


def _register_heif() -> None:
    try:
        import pillow_heif  # optional: only HEIC photos need it
    except ModuleNotFoundError:
        return
    pillow_heif.register_heif_opener()


def decode_pixels(
    path: Union[str, Path], image: Image.Image, data: bytes
) -> Tuple[np.ndarray, Optional[Callable[[Image.Image], Image.Image]]]:
    """Return the stored pixels of a photo.

    Args:
        path: Name of the file, for error messages.
        image: The image that :func:`open_image` returned.
        data: Content of the file.

    Returns:
        Pixels ``(H, W, C)``, uint8 or uint16, and for CMYK the conversion of RGB back to CMYK.

    Raises:
        UserError: Pixels of this kind are not supported.
    """
    if _bits(image, data) == 16:
        return _decode16(path, image, data), None
    return _decode8(path, image)


def _bits(image: Image.Image, data: bytes) -> int:
    """Return the bits per channel. Pillow's modes do not tell whether a color image has 16."""
    if image.format == 'PNG':
        return data[24]  # in IHDR
    if isinstance(image, TiffImageFile):
        return max(image.tag_v2.get(258, (1,)))
    if image.format == 'PPM':
        # decoding a PPM file is fast, so the dtype is read from its pixels
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        return 8 if pixels is None else 8 * pixels.itemsize
    return 8


def _decode16(path: Union[str, Path], image: Image.Image, data: bytes) -> np.ndarray:
    """Decode 16 bits per channel with OpenCV, because Pillow would reduce color to 8 bits."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    known = not isinstance(image, TiffImageFile) or (
        image.tag_v2.get(262) in (1, 2) and image.tag_v2.get(339, (1,))[0] == 1
    )
    if pixels is None or pixels.dtype != np.uint16 or not known:
        raise UserError(
            f"'{path}' has a 16-bit format that is not supported; convert it to 16-bit RGB or gray."
        )
    if pixels.ndim == 2:
        return pixels[..., None]
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def _decode8(
    path: Union[str, Path], image: Image.Image
) -> Tuple[np.ndarray, Optional[Callable[[Image.Image], Image.Image]]]:
    """Convert a decoded image to gray or RGB; for CMYK, also return the reverse conversion."""
    to_cmyk = None
    if image.mode == 'CMYK':
        image, to_cmyk = _from_cmyk(path, image)
    elif image.has_transparency_data:
        image = image.convert('LA' if image.mode in ('1', 'L', 'LA', 'La') else 'RGBA')
    elif image.mode in ('P', 'RGBX', 'YCbCr'):
        image = image.convert('RGB')
    elif image.mode == '1':
        image = image.convert('L')
    if image.mode not in _MODES.values():
        raise UserError(f"'{path}' has pixels of type {image.mode}; convert it to RGB or gray.")
    pixels = np.asarray(image)
    return (pixels[..., None] if pixels.ndim == 2 else pixels), to_cmyk


def _from_cmyk(
    path: Union[str, Path], image: Image.Image
) -> Tuple[Image.Image, Callable[[Image.Image], Image.Image]]:
    """Convert CMYK to RGB; return the image and a function that converts RGB back to CMYK."""
    profile = image.info.get('icc_profile')
    if profile is None:
        return image.convert('RGB'), lambda rgb: rgb.convert('CMYK')
    try:
        cmyk, srgb = ImageCms.getOpenProfile(BytesIO(profile)), ImageCms.createProfile('sRGB')
        intent, black = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
        to_rgb = ImageCms.buildTransform(cmyk, srgb, 'CMYK', 'RGB', intent, black)
        to_cmyk = ImageCms.buildTransform(srgb, cmyk, 'RGB', 'CMYK', intent, black)
    except ImageCms.PyCMSError as error:
        raise UserError(
            f"The CMYK profile of '{path}' cannot be used; convert the photo to RGB."
        ) from error
    return to_rgb.apply(image), to_cmyk.apply
