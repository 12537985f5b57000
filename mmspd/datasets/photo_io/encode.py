"""Encode pixels in the format, mode and bit depth of a photo."""

import struct
import zlib
from io import BytesIO
from typing import Any, Dict, List, Tuple

import cv2
import numpy as np
import tifffile
from PIL import Image

from mmspd.datasets.photo_io.depth import scale

__all__ = ['encode_deep', 'encode_pnm', 'encode_with_opencv', 'to_image']

_PNG_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by number of channels


def encode_deep(pixels: np.ndarray, kind: str, maximum: int, options: Dict[str, Any]) -> bytes:
    """Encode more than 8 bits per channel, which Pillow cannot.

    Args:
        pixels: Pixels ``(H, W, C)``, uint16.
        kind: Pillow's name of the format: PNG, TIFF, PPM, AVIF or HEIF.
        maximum: The largest value that a channel can have in the file.
        options: Options of the format, as for Pillow.

    Returns:
        The content of the file.
    """
    if kind == 'PNG':
        return _encode_png16(pixels)
    if kind == 'TIFF':
        return _encode_tiff16(pixels, options['tiffinfo'])
    if kind == 'PPM':
        return encode_pnm(pixels, maximum)
    if kind == 'AVIF':
        return _encode_avif(scale(pixels, 65535, maximum), maximum.bit_length(), options)
    return _encode_heif(scale(pixels, 65535, maximum), maximum.bit_length(), options)


def to_image(pixels: np.ndarray) -> Image.Image:
    """Return Pillow's image of 8-bit pixels ``(H, W, C)``."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def encode_pnm(pixels: np.ndarray, maximum: int) -> bytes:
    """Encode gray as PGM, or RGB as PPM.

    Args:
        pixels: Pixels ``(H, W, C)``, uint8 or uint16.
        maximum: The largest value in the file.

    Returns:
        The content of the file.
    """
    height, width, channels = pixels.shape
    header = f'P{5 if channels == 1 else 6}\n{width} {height}\n{maximum}\n'.encode()
    stored = scale(pixels, int(np.iinfo(pixels.dtype).max), maximum)
    return header + stored.astype('u1' if maximum < 256 else '>u2').tobytes()


def encode_with_opencv(
    pixels: np.ndarray, suffix: str, metadata: Dict[int, bytes], options: Dict[int, int]
) -> bytes:
    """Encode pixels with OpenCV.

    Args:
        pixels: Pixels ``(H, W, C)``, gray, RGB or RGB and alpha.
        suffix: Suffix of the format.
        metadata: Dict from OpenCV's metadata types to values.
        options: Dict from OpenCV's options to values.

    Returns:
        The content of the file.
    """
    order = {1: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[pixels.shape[2]]
    bgr = pixels if order is None else cv2.cvtColor(pixels, order)
    blocks = [np.frombuffer(value, np.uint8) for value in metadata.values()]
    listed = [number for option in options.items() for number in option]
    done, data = cv2.imencodeWithMetadata(suffix, bgr, list(metadata), blocks, listed)
    if not done:
        raise RuntimeError(f'OpenCV cannot encode an array of shape {pixels.shape} as {suffix}.')
    return data.tobytes()


def _encode_png16(pixels: np.ndarray) -> bytes:
    """Encode 16 bits per channel as PNG. OpenCV cannot write gray with alpha."""
    height, width, channels = pixels.shape
    stored = pixels.astype('>u2').view(np.uint8).reshape(height, -1)
    rows = np.full((height, stored.shape[1] + 1), 2, np.uint8)  # 2: differences to the row above
    rows[0, 1:], rows[1:, 1:] = stored[0], stored[1:] - stored[:-1]
    header = struct.pack('>IIBBBBB', width, height, 16, _PNG_COLOR_TYPES[channels], 0, 0, 0)
    data = b'\x89PNG\r\n\x1a\n'
    for name, body in ((b'IHDR', header), (b'IDAT', zlib.compress(rows.tobytes())), (b'IEND', b'')):
        checksum = zlib.crc32(body, zlib.crc32(name))
        data += struct.pack('>I', len(body)) + name + body + struct.pack('>I', checksum)
    return data


def _encode_tiff16(pixels: np.ndarray, tags: Dict[int, Any]) -> bytes:
    extra: List[Tuple[Any, ...]] = []
    for tag, value in tags.items():
        if isinstance(value, bytes):
            extra.append((tag, 'B', len(value), value, True))
        elif isinstance(value, str):
            extra.append((tag, 's', 0, value, True))
    buffer = BytesIO()
    tifffile.imwrite(
        buffer,
        pixels[..., 0] if pixels.shape[2] == 1 else pixels,
        photometric='minisblack' if pixels.shape[2] == 1 else 'rgb',
        extrasamples=['unassalpha'] if pixels.shape[2] == 4 else None,
        compression='zlib',
        resolution=(float(tags.get(282, 1)), float(tags.get(283, 1))),
        resolutionunit=tags.get(296, 1),
        metadata=None,
        software=False,
        extratags=extra,
    )
    return buffer.getvalue()


def _encode_avif(pixels: np.ndarray, bits: int, options: Dict[str, Any]) -> bytes:
    kinds = {
        'exif': cv2.IMAGE_METADATA_EXIF,
        'icc_profile': cv2.IMAGE_METADATA_ICCP,
        'xmp': cv2.IMAGE_METADATA_XMP,
    }
    metadata = {kind: options[key] for key, kind in kinds.items() if key in options}
    # only the lossless quality keeps the full color resolution
    quality = {cv2.IMWRITE_AVIF_DEPTH: bits, cv2.IMWRITE_AVIF_QUALITY: 100}
    return encode_with_opencv(pixels, '.avif', metadata, quality)


def _encode_heif(pixels: np.ndarray, bits: int, options: Dict[str, Any]) -> bytes:
    import pillow_heif  # optional: only HEIC photos need it

    height, width, channels = pixels.shape
    mode = {1: 'L;16', 3: 'RGB;16', 4: 'RGBA;16'}[channels]
    buffer = BytesIO()
    stored = (pixels << (16 - bits)).tobytes()
    pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12  # otherwise 10 bits
    pillow_heif.encode(mode, (width, height), stored, buffer, **options)
    return buffer.getvalue()
