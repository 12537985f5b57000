"""Decode photos of up to 8 bits per channel."""

from io import BytesIO
from pathlib import Path
from typing import Callable, Optional, Tuple, Union

import numpy as np
from PIL import Image, ImageCms

from mmspd.errors import UserError

__all__ = ['ToCMYK', 'decode8']

#: Converts RGB back to CMYK.
ToCMYK = Callable[[Image.Image], Image.Image]

_MODES = ('L', 'LA', 'RGB', 'RGBA')


def decode8(
    path: Union[str, Path], image: Image.Image, bits: int = 8
) -> Tuple[np.ndarray, Optional[ToCMYK]]:
    """Convert a decoded image to gray or RGB.

    Args:
        path: Name of the file, for error messages.
        image: The decoded image.
        bits: Bits per channel in the file.

    Returns:
        Pixels ``(H, W, C)``, uint8, and for CMYK the reverse conversion.

    Raises:
        UserError: Pixels of this kind are not supported.
    """
    to_cmyk = None
    if image.mode == 'CMYK':
        image, to_cmyk = _from_cmyk(path, image)
    elif image.has_transparency_data:
        gray = image.mode in ('1', 'L', 'LA', 'La')
        if image.mode == 'L' and bits < 8 and isinstance(image.info.get('transparency'), int):
            # Pillow spreads 2 and 4 bits over 0..255, but not the transparent value
            image.info['transparency'] *= 255 // (2**bits - 1)
        image = image.convert('LA' if gray else 'RGBA')
    elif image.mode in ('P', 'RGBX', 'YCbCr'):
        image = image.convert('RGB')
    elif image.mode == '1':
        image = image.convert('L')
    if image.mode not in _MODES:
        raise UserError(f"'{path}' has pixels of type {image.mode}; convert it to RGB or gray.")
    pixels = np.asarray(image)
    return (pixels[..., None] if pixels.ndim == 2 else pixels), to_cmyk


def _from_cmyk(path: Union[str, Path], image: Image.Image) -> Tuple[Image.Image, ToCMYK]:
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
