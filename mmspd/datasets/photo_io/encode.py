"""Encode the pixels of photos."""

from io import BytesIO
from typing import Any, Dict, List, Tuple

import cv2
import numpy as np
import tifffile

__all__ = ['encode_by_opencv', 'encode_tiff16']


def encode_by_opencv(pixels: np.ndarray, suffix: str) -> bytes:
    """Encode 16 bits per channel as PNG or PPM, because Pillow would reduce color to 8 bits."""
    order = {1: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[pixels.shape[2]]
    bgr = pixels if order is None else cv2.cvtColor(pixels, order)
    done, data = cv2.imencode(suffix, bgr)
    if not done:
        raise RuntimeError(f'OpenCV cannot encode an array of shape {pixels.shape} as {suffix}.')
    return data.tobytes()


def encode_tiff16(pixels: np.ndarray, tags: Dict[int, Any]) -> bytes:
    """Encode 16 bits per channel as TIFF with the given tags."""
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
