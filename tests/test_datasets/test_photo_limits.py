"""Bounds of time and memory for hostile and damaged photos."""

import os
import struct
import time

import numpy as np
import pytest
from photo_files import avif, bmp, png, png_chunk, saved_by_pillow, tiff, transparent, words
from PIL import Image

from mmspd.datasets.image_io import read_rgb, read_size
from mmspd.datasets.photo_io import decode_photo, read_photo, source
from mmspd.errors import UserError

COLORS = (np.arange(12 * 16 * 4).reshape(12, 16, 4) % 251).astype(np.uint8)
RGB, DEEP = COLORS[..., :3], COLORS[..., :3] * np.uint16(257)


def exif():
    tags = Image.Exif()
    tags[274], tags[271] = 6, 'Maker'
    return tags


#: A file of each format, mode and depth.
FILES = {
    'png': saved_by_pillow(RGB, 'PNG', exif=exif()),
    'png palette': saved_by_pillow(COLORS[..., 0], 'PNG', mode='P'),
    'png key': png(2, 8, 2, [1, 2, 3, 4, 5, 6], extra=transparent(1, 2, 3)),
    'png 16': png(2, 16, 6, words(*range(8)), words(*range(8))),
    'jpeg': saved_by_pillow(RGB, 'JPEG', exif=exif(), comment=b'by me'),
    'jpeg progressive': saved_by_pillow(RGB, 'JPEG', progressive=True),
    'jpeg cmyk': saved_by_pillow(COLORS, 'JPEG', mode='CMYK'),
    'webp': saved_by_pillow(RGB, 'WEBP', exif=exif()),
    'webp lossless': saved_by_pillow(COLORS, 'WEBP', lossless=True),
    'gif': saved_by_pillow(COLORS[..., 0], 'GIF', mode='P', transparency=3),
    'bmp': saved_by_pillow(RGB, 'BMP'),
    'bmp 16': bmp(2, 1, 16, 0, b'', bytes(4)),
    'pgm': b'P5 4 1 1023\n' + words(0, 1, 512, 1023),
    'plain ppm': b'P3\n1 1\n1023\n0 # x\n512 1023',
    'tiff': saved_by_pillow(RGB, 'TIFF', tiffinfo={271: 'Maker', 34665: {33434: 0.01}}),
    'tiff lzw': saved_by_pillow(COLORS, 'TIFF', compression='tiff_lzw'),
    'tiff 16': tiff(DEEP, np.uint16, photometric='rgb', compression='zlib'),
    'tiff palette': saved_by_pillow(COLORS[..., 0], 'TIFF', mode='P'),
    'avif': saved_by_pillow(RGB, 'AVIF'),
    'avif 10': avif(RGB * np.uint16(4), 10),
}


def mutated(data, rng):
    """Return a damaged copy of a file."""
    array = bytearray(data)
    kind = rng.integers(5)
    where = int(rng.integers(len(data)))
    if kind == 0:  # flipped bits
        for place in rng.integers(0, len(data), rng.integers(1, 9)):
            array[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:  # truncated
        del array[where:]
    elif kind == 2:  # another value in the header, such as a huge size
        place = int(rng.integers(min(64, len(data))))
        array[place : place + 4] = rng.choice(
            [b'\xff\xff\xff\xff', b'\0\0\0\0', b'\x7f\xff\xff\xff']
        )
    elif kind == 3:  # the beginning of another file
        other = list(FILES.values())[rng.integers(len(FILES))]
        array[:where] = other[:where]
    else:  # a repeated part
        array[where:where] = array[where // 2 : where] * int(rng.integers(1, 4))
    return bytes(array)


def outcome_of(function, *arguments):
    """Return the result, or None if there is a sentence instead."""
    try:
        return function(*arguments)
    except UserError:
        return None


def examine(path, data):
    """Read and rewrite a file by all functions; return whether the file is a photo."""
    path.write_bytes(data)
    outcomes = []
    for read in (read_photo, read_rgb, read_size):
        start = time.process_time()
        outcomes.append(outcome_of(read, path))
        assert time.process_time() - start < 2
    photo, pixels, size = outcomes
    if photo is None:
        return False
    assert size == photo.pixels.shape[:2]
    assert pixels is None or np.array_equal(pixels, photo.pixels)
    written = outcome_of(photo.encode, photo.pixels)
    if written is None:
        return True
    again = decode_photo('again', written)
    assert again.pixels.shape[:2] == photo.pixels.shape[:2]
    assert again.pixels.dtype == photo.pixels.dtype
    return True


@pytest.mark.parametrize('kind', FILES)
def test_damaged_files_give_a_photo_or_a_sentence(tmp_path, kind):
    rng = np.random.default_rng(7)
    photos = [examine(tmp_path / 'photo', mutated(FILES[kind], rng)) for _ in range(20)]
    assert examine(tmp_path / 'photo', FILES[kind])
    assert not all(photos)


JPEG = saved_by_pillow(RGB[:8, :8], 'JPEG', progressive=True)
SCAN = b'\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00'
EXIF_PART = b'\xff\xe1\x00\x09Exif\0\0x'
TEXT = png_chunk(b'tEXt', b'a\0' + b'b' * 48)


def tiff_pages(count):
    """A TIFF file with many directories."""
    size = 2 + 12 + 4
    return b'II*\0\x08\0\0\0' + b''.join(
        struct.pack('<HHHIII', 1, 256, 3, 1, 1, 8 + size * (page + 1)) for page in range(count)
    )


#: Files that would take minutes: content, and part of the sentence, or None for a photo.
SLOW = {
    'texts': (png(1, 8, 2, [1, 2, 3], extra=TEXT * 40_000), None),
    'comments': (b'P3 1 1 255\n' + b'#\n' * 300_000 + b'1 2 3', None),
    'header': (b'P6' + b' ' * 9_000_000 + b'1 1 255\n123', 'a header of more than 65536 bytes'),
    'long comment': (b'P6 #' + b'a' * 9_000_000 + b'\n1 1 255\n123', 'a header of more than 65536'),
    'segments': (
        JPEG[:2] + b'\xff\xfe\x00\x04by' * 2_000_000 + JPEG[2:],
        'more than 10000 segments',
    ),
    'exif': (JPEG[:2] + EXIF_PART * 200_000 + JPEG[2:], 'more than 100 EXIF segments'),
    'scans': (JPEG[:-2] + SCAN * 200_000 + JPEG[-2:], 'more than 100 scans'),
    'pages': (tiff_pages(100_000), 'is damaged|contains several images'),
    'chunk': (FILES['png 16'][:33] + b'\x7f\xff\xff\xff' + FILES['png 16'][37:], 'is damaged'),
    'huge pgm': (b'P5 60000 60000 1023\n', 'more than 178 megapixels'),
    'large pgm': (b'P5 13000 13000 1023\n', 'is damaged or incomplete'),
}


@pytest.mark.parametrize('kind', SLOW)
def test_hostile_files_take_little_time(tmp_path, kind):
    data, sentence = SLOW[kind]
    (tmp_path / 'image').write_bytes(data)
    start = time.process_time()
    outcome_of(read_size, tmp_path / 'image')
    if sentence is None:
        photo = decode_photo(kind, data)
        assert photo.pixels.tolist() == [[[1, 2, 3]]]
        assert photo.encode(photo.pixels).count(TEXT) == data.count(TEXT)
    else:
        with pytest.raises(UserError, match=sentence):
            decode_photo(kind, data)
    assert time.process_time() - start < 3


def test_only_regular_files_of_limited_size_are_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / 'pipe.png')
    (tmp_path / 'large.png').write_bytes(FILES['png'])
    monkeypatch.setattr(source, 'MAX_BYTES', 10)
    for read in (read_photo, read_rgb, read_size):
        with pytest.raises(UserError, match=r"pipe.png' is not a regular file; give the file"):
            read(tmp_path / 'pipe.png')
        with pytest.raises(UserError, match=r"large.png' is larger than"):
            read(tmp_path / 'large.png')
