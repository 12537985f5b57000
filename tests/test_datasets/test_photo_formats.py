"""Exact pixels of every kind of photo file, and refusals by name."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from photo_files import (
    avif,
    bmp,
    png,
    png_chunk,
    saved_by_pillow,
    tiff,
    transparent,
    words,
)
from PIL import Image

from mmspd.datasets.image_io import ColorError, read_rgb, read_size
from mmspd.datasets.photo_io import decode_photo, read_photo, to_tensor
from mmspd.errors import UserError

RAMP = [[[v, 255 - v, v // 2, a] for v, a in ((0, 255), (85, 128), (170, 1), (255, 0))]]
RAMP16 = (np.array(RAMP) * 257 + [3, 2, 1, 0]).clip(0, 65535).tolist()
COLORMAP = np.array([[0, 255, 51, 7], [9, 0, 255, 102], [1, 2, 3, 255]])


def color_map(factor, offset=0):
    table = np.zeros((3, 256), np.uint16)
    table[:, :4] = COLORMAP * factor + offset
    return table


def channels(pixels, *order):
    return np.array(pixels)[..., list(order)].tolist()


def one_row(*values):
    return [[[value] for value in values]]


def interlaced_png16(pixels):
    """An interlaced PNG file of 2x2 pixels, which are in the passes 1, 6, 7 and 7."""
    (first, second), last = pixels
    passes = (first, second, np.ravel(last))
    data = zlib.compress(b''.join(b'\0' + words(*values) for values in passes))
    header = struct.pack('>IIBBBBB', 2, 2, 16, 2, 0, 0, 1)
    chunks = png_chunk(b'IHDR', header) + png_chunk(b'IDAT', data) + png_chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + chunks


RGB16, RGBA16 = channels(RAMP16, 0, 1, 2), RAMP16
LA16 = channels(RAMP16, 0, 3)

#: Name of the kind: file, stored pixels as (H, W, C), and bits of the pixels.
EXACT = {
    # a quarter of the depth that the header promises would be 64 times darker
    'pgm 1023': (b'P5 4 1 1023\n' + words(0, 1, 512, 1023), one_row(0, 64, 32800, 65535), 16),
    'ppm 1023': (b'P6 1 1 1023\n' + words(0, 512, 1023), [[[0, 32800, 65535]]], 16),
    'pgm 256': (b'P5 3 1 256\n' + words(0, 128, 256), one_row(0, 32768, 65535), 16),
    'pgm 65535': (b'P5 2 1 65535\n' + words(1, 65535), one_row(1, 65535), 16),
    'ppm 65535': (b'P6 1 1 65535\n' + words(1, 300, 65535), [[[1, 300, 65535]]], 16),
    'pgm too large value': (b'P5 2 1 1000\n' + words(500, 2000), one_row(32768, 65535), 16),
    'pgm comment': (b'P5\n# by me\n2 1\n1023\n' + words(0, 1023), one_row(0, 65535), 16),
    'plain pgm 1023': (b'P2\n4 1 1023\n0 1 512 1023\n', one_row(0, 64, 32800, 65535), 16),
    'plain ppm 1023': (b'P3\n1 1\n1023\n0 # x\n512 1023', [[[0, 32800, 65535]]], 16),
    'pgm 100': (b'P5 4 1 100\n' + bytes([0, 1, 50, 100]), one_row(0, 3, 128, 255), 8),
    'ppm 100': (b'P6 1 1 100\n' + bytes([0, 50, 100]), [[[0, 128, 255]]], 8),
    'plain pgm 15': (b'P2 3 1 15\n0 1 15\n', one_row(0, 17, 255), 8),
    'pgm 1': (b'P5 2 1 1\n\0\1', one_row(0, 255), 8),
    'plain pbm': (b'P1 4 1\n0 1 0 1\n', one_row(255, 0, 255, 0), 8),
    'pbm': (b'P4 4 1\n\x50', one_row(255, 0, 255, 0), 8),
    'png gray 1': (png(4, 1, 0, [0b01010000]), one_row(0, 255, 0, 255), 8),
    'png gray 2': (png(4, 2, 0, [0b00011011]), one_row(0, 85, 170, 255), 8),
    'png gray 4': (png(2, 4, 0, [0x1F]), one_row(17, 255), 8),
    'png gray 1 key': (
        png(2, 1, 0, [0b01000000], extra=transparent(1)), [[[0, 255], [255, 0]]], 8,
    ),
    'png gray 2 key': (
        png(4, 2, 0, [0b00011011], extra=transparent(2)),
        [[[0, 255], [85, 255], [170, 0], [255, 255]]], 8,
    ),
    'png gray 4 key': (
        png(3, 4, 0, [0x01, 0xF0], extra=transparent(15)), [[[0, 255], [17, 255], [255, 0]]], 8,
    ),
    'png gray 8 key': (png(2, 8, 0, [5, 6], extra=transparent(5)), [[[5, 0], [6, 255]]], 8),
    'png rgb 8 key': (
        png(2, 8, 2, [1, 2, 3, 4, 5, 6], extra=transparent(1, 2, 3)),
        [[[1, 2, 3, 0], [4, 5, 6, 255]]], 8,
    ),
    'png palette': (
        png(2, 2, 3, [0b00010000], extra=png_chunk(b'PLTE', bytes(range(10, 16)))),
        [[[10, 11, 12], [13, 14, 15]]], 8,
    ),
    'png palette alpha': (
        png(2, 8, 3, [0, 1], extra=png_chunk(b'PLTE', bytes(range(6))) + png_chunk(b'tRNS', b'\7')),
        [[[0, 1, 2, 7], [3, 4, 5, 255]]], 8,
    ),
    'png gray 16': (png(2, 16, 0, words(300, 65535)), one_row(300, 65535), 16),
    'png gray 16 key': (
        png(3, 16, 0, words(0, 300, 301), extra=transparent(300)),
        [[[0, 65535], [300, 0], [301, 65535]]], 16,
    ),
    'png rgb 16 key': (
        png(2, 16, 2, words(5, 6, 7, 5, 6, 8), extra=transparent(5, 6, 7)),
        [[[5, 6, 7, 0], [5, 6, 8, 65535]]], 16,
    ),
    'png gray alpha 16': (png(4, 16, 4, words(*np.ravel(LA16))), LA16, 16),
    'png rgb 16': (png(4, 16, 2, words(*np.ravel(RGB16))), RGB16, 16),
    'png rgb 16 interlaced': (
        interlaced_png16([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]]),
        [[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]],
        16,
    ),
    'png rgba 16': (png(4, 16, 6, words(*np.ravel(RGBA16))), RGBA16, 16),
    'tiff white is zero 8': (tiff([[0, 10]], photometric='miniswhite'), one_row(255, 245), 8),
    'tiff white is zero 16': (
        tiff([[0, 10]], np.uint16, photometric='miniswhite'), one_row(65535, 65525), 16,
    ),
    'tiff gray 1': (tiff([[0, 1]], bool, photometric='minisblack'), one_row(0, 255), 8),
    'tiff gray 16 big-endian': (
        tiff([[300, 65535]], np.uint16, photometric='minisblack', byteorder='>'),
        one_row(300, 65535), 16,
    ),
    'tiff rgb 8 planar': (
        tiff(
            np.moveaxis(np.array(RAMP)[..., :3], 2, 0), photometric='rgb', planarconfig='separate'
        ),
        channels(RAMP, 0, 1, 2), 8,
    ),
    'tiff rgb 16 predictor': (
        tiff(RGB16, np.uint16, photometric='rgb', compression='zlib', predictor=True), RGB16, 16,
    ),
    'tiff rgb 16 big': (tiff(RGB16, np.uint16, photometric='rgb', bigtiff=True), RGB16, 16),
    'tiff rgba 8': (tiff(RAMP, photometric='rgb', extrasamples=['unassalpha']), RAMP, 8),
    'tiff rgba 16': (
        tiff(RGBA16, np.uint16, photometric='rgb', extrasamples=['unassalpha']), RGBA16, 16,
    ),
    'tiff associated alpha 8': (
        tiff([[[10, 20, 30, 60], [9, 8, 7, 255]]], photometric='rgb', extrasamples=['assocalpha']),
        [[[42, 85, 127, 60], [9, 8, 7, 255]]], 8,
    ),
    'tiff associated alpha 16': (
        tiff([[[10, 20, 60, 60], [0, 0, 0, 0]]], np.uint16, photometric='rgb',
             extrasamples=['assocalpha']),
        [[[10923, 21845, 65535, 60], [0, 0, 0, 0]]], 16,
    ),
    'tiff gray alpha 8': (
        tiff(channels(RAMP, 0, 3), photometric='minisblack', extrasamples=['unassalpha'],
             planarconfig='contig'),
        channels(RAMP, 0, 3), 8,
    ),
    'tiff palette x257': (
        tiff([[0, 1, 2, 3]], photometric='palette', colormap=color_map(257)), [COLORMAP.T], 8,
    ),
    'tiff palette x256': (
        tiff([[0, 1, 2, 3]], photometric='palette', colormap=color_map(256)), [COLORMAP.T], 8,
    ),
    'tiff palette x1': (
        tiff([[0, 1, 2, 3]], photometric='palette', colormap=color_map(1)), [COLORMAP.T], 8,
    ),
    'tiff palette 16': (
        tiff([[0, 1, 2, 3]], photometric='palette', colormap=color_map(200, 7)),
        [COLORMAP.T * 200 + 7], 16,
    ),
    'bmp 555': (
        bmp(2, 1, 16, 0, b'', struct.pack('<HH', 0b0_11111_00000_11111, 0)),
        [[[255, 0, 255], [0, 0, 0]]], 8,
    ),
    'bmp 565': (
        bmp(2, 1, 16, 3, struct.pack('<III', 0xF800, 0x7E0, 0x1F), struct.pack('<HH', 0xFFE0, 31)),
        [[[255, 255, 0], [0, 0, 255]]], 8,
    ),
    'bmp 32': (bmp(1, 1, 32, 0, b'', bytes([3, 2, 1, 9])), [[[1, 2, 3]]], 8),
    'bmp rgba': (
        b'BM' + struct.pack('<IHHI', 126, 0, 0, 122)
        + struct.pack('<IiiHHIIiiII', 108, 1, 1, 1, 32, 3, 4, 0, 0, 0, 0)
        + struct.pack('<IIII', 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b'BGRs' + bytes(48)
        + bytes([3, 2, 1, 77]),
        [[[1, 2, 3, 77]]], 8,
    ),
}  # fmt: skip
for name, count, bits in (('gray 10', 1, 10), ('rgb 10', 3, 10), ('rgba 12', 4, 12)):
    stored = np.array(RAMP)[..., :count] * 2 ** (bits - 8) + 1
    EXACT[f'avif {name}'] = (avif(stored, bits), np.rint(stored * 65535 / (2**bits - 1)), 16)


@pytest.mark.parametrize('kind', EXACT)
def test_pixels_are_scaled_and_come_back_unchanged(kind):
    data, pixels, bits = EXACT[kind]
    photo = decode_photo(kind, data)
    assert photo.pixels.tolist() == np.array(pixels).tolist()
    assert photo.pixels.dtype == f'uint{bits}'
    assert to_tensor(photo.pixels).max() <= 1
    again = decode_photo(kind, photo.encode(photo.pixels))
    assert again.format == photo.format
    assert again.pixels.dtype == photo.pixels.dtype
    assert again.pixels.tolist() == photo.pixels.tolist()


@pytest.mark.parametrize('kind', [kind for kind in EXACT if kind.startswith(('pgm', 'ppm'))])
def test_the_maximum_of_pgm_and_ppm_is_kept(kind):
    data = EXACT[kind][0]
    maximum = int(kind.split()[1]) if kind.split()[1].isdigit() else None
    photo = decode_photo(kind, data)
    written = photo.encode(photo.pixels).split(b'\n', 3)
    assert written[0] == data[:2]
    assert maximum is None or int(written[2]) == maximum
    if maximum is not None:
        assert written[3] == data.partition(b'\n')[2]


@pytest.mark.parametrize(
    ('kind', 'bits'), [('avif gray 10', 10), ('avif rgb 10', 10), ('avif rgba 12', 12)]
)
def test_the_depth_of_avif_is_kept(kind, bits):
    photo = decode_photo(kind, EXACT[kind][0])
    data = photo.encode(65535 - photo.pixels)
    assert data[data.index(b'av1C') + 6] & 0x60 == (0x60 if '12' in kind else 0x40)
    assert decode_photo(kind, data).pixels.tolist() == (65535 - photo.pixels).tolist()


def test_gray_avif_stays_gray():
    data = saved_by_pillow(np.full((16, 16), 77, np.uint8), 'AVIF')
    photo = decode_photo('a.avif', data)
    again = decode_photo('a.avif', photo.encode(photo.pixels))
    assert photo.pixels.shape == again.pixels.shape == (16, 16, 1)
    assert np.abs(again.pixels.astype(int) - 77).max() <= 1


@pytest.mark.parametrize('bits', [10, 12])
def test_the_depth_of_heic_is_kept(bits):
    heif = pytest.importorskip('pillow_heif')
    heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    stored = np.linspace(0, 65535, 16 * 16).astype(np.uint16).reshape(16, 16, 1)
    buffer = io.BytesIO()
    heif.encode('L;16', (16, 16), stored.tobytes(), buffer, quality=-1)
    photo = decode_photo('a.heic', buffer.getvalue())
    assert np.abs(photo.pixels.astype(int) - stored).max() <= 2 * 65535 / 2**bits
    again = decode_photo('a.heic', photo.encode(photo.pixels))
    assert Image.open(io.BytesIO(photo.encode(photo.pixels))).info['bit_depth'] == bits
    assert np.abs(again.pixels.astype(int) - photo.pixels).max() < 800


REFUSED = {
    'iphone png': (
        png(1, 8, 0, [1])[:8] + png_chunk(b'CgBI', bytes(4)) + png(1, 8, 0, [1])[8:],
        'not a standard PNG file',
    ),
    'tiff int8': (tiff([[1]], np.int8), r'pixels of type L \(signed or floating'),
    'tiff int16': (tiff([[1]], np.int16), 'signed or floating'),
    'tiff uint32': (tiff([[1]], np.uint32), '32 bits per channel'),
    'tiff float32': (tiff([[1]], np.float32), r'pixels of type F \(signed or floating'),
    'tiff rgb float32': (tiff([[[1, 1, 1]]], np.float32, photometric='rgb'), 'kind of TIFF is not'),
    'tiff lab': (tiff([[[1, 2, 3]]], photometric='cielab'), 'the color space 8'),
    'tiff cmyk 16': (
        tiff([[[1, 2, 3, 4]]], np.uint16, photometric='separated'), '16/16/16/16 bits',
    ),
    'tiff extra channel': (
        tiff([[[1, 2, 3, 4]]], photometric='rgb', extrasamples=['unspecified']),
        'extra channels that are not transparency',
    ),
    'tiff rgb 16 planar': (
        tiff([[[1]], [[2]], [[3]]], np.uint16, photometric='rgb', planarconfig='separate'),
        '16 bits per channel in separate planes',
    ),
    'tiff gray alpha 16': (
        tiff([[[1, 2]]], np.uint16, photometric='minisblack', extrasamples=['unassalpha'],
             planarconfig='contig'),
        'kind of TIFF is not supported',
    ),
    'tiff 2 pages': (tiff([[[1]], [[2]]], photometric='minisblack'), 'contains several images'),
    'pfm': (b'Pf\n1 1\n-1.0\n' + struct.pack('<f', 0.5), 'not an image of a known kind'),
    'color pfm': (b'PF\n1 1\n-1.0\n' + bytes(12), 'not an image of a known kind'),
    'pam': (
        b'P7\nWIDTH 1\nHEIGHT 1\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\nabc',
        'not an image of a known kind',
    ),
    'pillow cmyk': (b'PyCMYK\n1 1\n255\nabcd', 'not an image of a known kind'),
    'jpeg 2000': (saved_by_pillow([[[1, 2, 3]] * 9] * 9, 'JPEG2000'), 'not an image of a known'),
    'apng': (
        png(
            1, 8, 0, [1],
            extra=png_chunk(b'acTL', struct.pack('>II', 2, 0))
            + png_chunk(b'fcTL', struct.pack('>IIIIIHHBB', 0, 1, 1, 0, 0, 1, 1, 0, 0)),
        ),
        'contains 2 images',
    ),
}  # fmt: skip


@pytest.mark.parametrize('kind', REFUSED)
def test_other_kinds_are_refused_by_name(kind):
    data, message = REFUSED[kind]
    with pytest.raises(UserError, match=f"{kind}' .*{message}"):
        decode_photo(kind, data)


TURNS = {  # stored pixels to upright pixels, from the EXIF standard
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: np.rot90(p),
}
STORED = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3


def exif_of(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def late_exif(orientation):
    """A PNG file with the EXIF data behind the pixels."""
    data = png(6, 8, 2, *STORED.reshape(4, -1))
    return data[:-12] + png_chunk(b'eXIf', exif_of(orientation).tobytes()[6:]) + data[-12:]


def deep_avif(orientation):
    array = np.ascontiguousarray(STORED[..., ::-1]).astype(np.uint16) * 4
    exif = np.frombuffer(exif_of(orientation).tobytes()[6:], np.uint8)
    options = [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 100]
    done, data = cv2.imencodeWithMetadata(
        '.avif', array, [cv2.IMAGE_METADATA_EXIF], [exif], options
    )
    assert done
    return data.tobytes()


#: Files of each orientation, and the largest error in 0..1.
TURNED = {
    'jpeg': (lambda o: saved_by_pillow(STORED, 'JPEG', exif=exif_of(o), quality=95), 0.2),
    'png': (lambda o: saved_by_pillow(STORED, 'PNG', exif=exif_of(o)), 0),
    'png with late exif': (late_exif, 0),
    'webp': (lambda o: saved_by_pillow(STORED, 'WEBP', exif=exif_of(o), lossless=True), 0),
    'avif': (lambda o: saved_by_pillow(STORED, 'AVIF', exif=exif_of(o), quality=100), 0.02),
    'avif 10': (deep_avif, 0.003),
    'tiff': (lambda o: saved_by_pillow(STORED, 'TIFF', tiffinfo={274: o}), 0),
    'tiff 16': (
        lambda o: tiff(
            STORED * np.uint16(257),
            np.uint16,
            photometric='rgb',
            extratags=[(274, 'H', 1, o, True)],
        ),
        0,
    ),
}


@pytest.mark.parametrize('orientation', TURNS)
@pytest.mark.parametrize('kind', TURNED)
def test_orientation_means_the_same_for_photos_pairs_and_sizes(tmp_path, kind, orientation):
    make, error = TURNED[kind]
    path = tmp_path / 'photo'
    path.write_bytes(make(orientation))
    upright = TURNS[orientation](STORED) / 255
    photo = read_photo(path)
    top = np.iinfo(photo.pixels.dtype).max
    assert photo.pixels.shape == upright.shape
    assert np.abs(photo.pixels / top - upright).max() <= error
    assert read_size(path) == upright.shape[:2]
    assert np.abs(read_rgb(path, convert=True) / 255 - upright).max() <= error + 0.002
    again = decode_photo(kind, photo.encode(photo.pixels))
    assert np.abs(again.pixels / top - upright).max() <= 2 * error


@pytest.mark.parametrize('kind', EXACT)
def test_pairs_and_photos_are_read_by_one_reader(tmp_path, kind):
    data, pixels, bits = EXACT[kind]
    path = tmp_path / 'photo'
    path.write_bytes(data)
    pixels = np.array(pixels)
    if bits == 8 and pixels.shape[2] == 3:
        assert read_rgb(path).tolist() == pixels.tolist()
        assert read_rgb(path).flags.writeable
    else:
        with pytest.raises(ColorError, match="photo' has .*; convert it to 8-bit RGB"):
            read_rgb(path)
    color = pixels[..., :3] if pixels.shape[2] > 2 else pixels[..., [0, 0, 0]]
    expected = color if bits == 8 else (color + 128) // 257
    assert read_rgb(path, convert=True).tolist() == expected.tolist()
    assert read_size(path) == pixels.shape[:2]
