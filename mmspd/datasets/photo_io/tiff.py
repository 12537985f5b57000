"""Check the kind of TIFF files, and decode the kinds that Pillow and OpenCV decode wrongly."""

from pathlib import Path
from typing import Any, Tuple, Union

import numpy as np
from PIL import Image

from mmspd.errors import UserError

__all__ = ['decode_palette', 'finish_tiff16', 'tiff_maximum']

_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR = 258, 259, 262, 277, 284
_PALETTE, _INKS, _EXTRA, _SAMPLE_FORMAT, _SUBSAMPLING = 320, 332, 338, 339, 530

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _INDEXED, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
#: Number of channels without alpha.
_CHANNELS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _INDEXED: 1, _CMYK: 4, _YCBCR: 3}
#: Supported bits per channel.
_DEPTHS = {
    _WHITE_IS_ZERO: (1, 2, 4, 8, 16),
    _BLACK_IS_ZERO: (1, 2, 4, 8, 16),
    _RGB: (8, 16),
    _INDEXED: (1, 2, 4, 8),
    _CMYK: (8,),
    _YCBCR: (8,),
}
_ASSOCIATED, _UNASSOCIATED = 1, 2  # kinds of alpha channels
_JPEG_COMPRESSIONS = (6, 7)


def tiff_maximum(path: Union[str, Path], image: Image.Image) -> int:
    """Check that a TIFF file has a supported kind, and return its largest value.

    Args:
        path: Name of the file, for error messages.
        image: The opened file.

    Returns:
        255 or 65535.

    Raises:
        UserError: Pixels of this kind are not supported.
    """
    reason = _reason_against(image)
    if reason:
        raise UserError(f"'{path}' has {reason}; convert it to RGB or gray.")
    return 65535 if _tags(image, _BITS)[0] == 16 else 255


def _reason_against(image: Image.Image) -> str:
    """Return the property that is not supported, or an empty string."""
    bits, extra = _tags(image, _BITS), _tags(image, _EXTRA)
    color, samples = _tag(image, _PHOTOMETRIC), _tag(image, _SAMPLES)
    if color not in _CHANNELS:
        return f'the color space {color}'
    if set(_tags(image, _SAMPLE_FORMAT)) != {1}:
        return f'pixels of type {image.mode} (signed or floating-point values)'
    if len(set(bits)) != 1 or bits[0] not in _DEPTHS[color]:
        return f'{"/".join(map(str, bits[:8]))} bits per channel'
    if samples != _CHANNELS[color] and (
        # some programs omit the kind of the alpha channel
        samples != _CHANNELS[color] + 1
        or extra not in ((), (_ASSOCIATED,), (_UNASSOCIATED,))
        or color > _RGB
    ):
        return 'extra channels that are not transparency'
    if bits[0] == 16 and samples > 1 and _tag(image, _PLANAR) != 1:
        return '16 bits per channel in separate planes'
    if color == _CMYK and _tag(image, _INKS) != 1:
        return 'inks that are not CMYK'
    jpeg = _tag(image, _COMPRESSION) in _JPEG_COMPRESSIONS
    if color == _YCBCR and not jpeg and _tags(image, _SUBSAMPLING) != (1, 1):
        return 'YCbCr colors of reduced size'
    return ''


def finish_tiff16(image: Image.Image, pixels: np.ndarray) -> np.ndarray:
    """Correct the 16-bit pixels of a TIFF file, which OpenCV reads as they are stored.

    Args:
        image: The opened file.
        pixels: Stored pixels ``(H, W, C)``, uint16.

    Returns:
        Pixels of the same shape. Zero is black, and alpha is not associated.
    """
    if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:
        pixels = 65535 - pixels
    if _tags(image, _EXTRA) == (_ASSOCIATED,):
        alpha = np.maximum(pixels[..., -1:], 1).astype(np.uint32)
        colors = (pixels[..., :-1] * np.uint32(65535) + alpha // 2) // alpha
        colors = np.minimum(colors, 65535).astype(np.uint16)
        pixels = np.concatenate([colors, pixels[..., -1:]], axis=2)
    return pixels


def decode_palette(image: Image.Image) -> np.ndarray:
    """Decode a TIFF file with a palette. Pillow keeps only the upper 8 bits of the colors.

    Args:
        image: The decoded file, in mode P.

    Returns:
        Pixels ``(H, W, 3)``. The values are uint8 if the palette has only 8-bit colors, else
        uint16.
    """
    palette = np.array(_tags(image, _PALETTE), np.uint16).reshape(3, -1).T
    if palette.max() < 256:  # some programs store 8-bit values, as libtiff knows
        palette = palette.astype(np.uint8)
    elif not (palette % 257).any():
        palette = (palette // 257).astype(np.uint8)
    elif not (palette % 256).any():
        palette = (palette // 256).astype(np.uint8)
    return palette[np.asarray(image)]


def _tags(image: Image.Image, tag: int) -> Tuple[Any, ...]:
    defaults = {_BITS: (1,), _EXTRA: (), _SAMPLE_FORMAT: (1,), _SUBSAMPLING: (2, 2)}
    value = image.tag_v2.get(tag, defaults.get(tag, ()))  # type: ignore[attr-defined]
    return value if isinstance(value, tuple) else (value,)


def _tag(image: Image.Image, tag: int) -> Any:
    value = image.tag_v2.get(tag, 1)  # type: ignore[attr-defined]
    return value[0] if isinstance(value, tuple) and value else value
