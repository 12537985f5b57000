"""Files of photos, made byte by byte."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

if not cv2.haveImageWriter('a.avif'):
    pytest.skip('OpenCV cannot write AVIF files before 4.12', allow_module_level=True)


def png_chunk(name, body):
    return struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))


def png(width, bits, color_type, *rows, extra=b''):
    """A PNG file with rows of bytes, and with chunks before the pixels."""
    header = struct.pack('>IIBBBBB', width, len(rows), bits, color_type, 0, 0, 0)
    pixels = zlib.compress(b''.join(b'\0' + bytes(row) for row in rows))
    chunks = png_chunk(b'IDAT', pixels) + png_chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + png_chunk(b'IHDR', header) + extra + chunks


def transparent(*values):
    return png_chunk(b'tRNS', struct.pack(f'>{len(values)}H', *values))


def words(*values):
    return np.array(values, '>u2').tobytes()


def tiff(values, dtype=np.uint8, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.array(values, dtype), metadata=None, **options)
    return buffer.getvalue()


def saved_by_pillow(pixels, kind, mode=None, **options):
    buffer = io.BytesIO()
    Image.fromarray(np.array(pixels, np.uint8), mode).save(buffer, kind, **options)
    return buffer.getvalue()


def avif(pixels, bits):
    """A lossless AVIF file of gray, RGB, or RGB and alpha."""
    array = np.array(pixels, np.uint8 if bits == 8 else np.uint16)
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[array.shape[2]]
    options = [cv2.IMWRITE_AVIF_DEPTH, bits, cv2.IMWRITE_AVIF_QUALITY, 100]
    done, data = cv2.imencode('.avif', np.ascontiguousarray(array[..., order]), options)
    assert done
    return data.tobytes()


def bmp(width, height, bits, compression, masks, data):
    """A BMP file with a header of 40 bytes."""
    start = 54 + len(masks)
    size = struct.pack('<IiiHHIIiiII', 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    return b'BM' + struct.pack('<IHHI', start + len(data), 0, 0, start) + size + masks + data
