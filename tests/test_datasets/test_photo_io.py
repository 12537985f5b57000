import io
import struct
import zlib
from itertools import product

import cv2
import numpy as np
import PIL
import pytest
import tifffile
import torch
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from mmspd.datasets.photo_io import decode_photo, like_pixels, read_photo, to_tensor
from mmspd.errors import UserError

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
EXACT = ('png', 'tif', 'bmp', 'ppm', 'pgm')


def colors(height=20, width=24, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height))


def colors16():
    return colors().astype(np.uint16) * 257 + 5


def saved(path, mode='RGB', **options):
    """Save a small picture in a mode of Pillow."""
    image = Image.fromarray(colors())
    if mode in ('LA', 'RGBA'):
        image.putalpha(Image.fromarray(colors(seed=1)[..., 0]))
    image.convert(mode).save(path, **options)
    return path


def rewritten(path):
    """The result for a photo if the network changes nothing."""
    photo = read_photo(path)
    return Image.open(io.BytesIO(photo.encode(photo.pixels)))


def inverted(path):
    """The photo, and its file with inverted colors and the same alpha."""
    photo = read_photo(path)
    return photo, photo.encode(like_pixels(1 - to_tensor(photo.pixels), photo.pixels))


#: Pillow 11 and 12 write YCbCr files that they cannot read.
WRITES_YCBCR = pytest.mark.skipif(
    int(PIL.__version__.split('.')[0]) < 13, reason='Pillow 12 cannot write YCbCr'
)


@pytest.mark.parametrize(
    ('name', 'mode', 'shape', 'written'),
    [
        ('a.png', 'L', (20, 24, 1), 'L'),
        ('a.png', 'LA', (20, 24, 2), 'LA'),
        ('a.png', 'RGB', (20, 24, 3), 'RGB'),
        ('a.png', 'RGBA', (20, 24, 4), 'RGBA'),
        ('a.png', 'P', (20, 24, 3), 'RGB'),
        ('a.png', '1', (20, 24, 1), 'L'),
        ('a.jpg', 'L', (20, 24, 1), 'L'),
        ('a.jpg', 'RGB', (20, 24, 3), 'RGB'),
        ('a.jpg', 'CMYK', (20, 24, 3), 'CMYK'),
        ('a.tif', 'LA', (20, 24, 2), 'LA'),
        ('a.tif', 'CMYK', (20, 24, 3), 'CMYK'),
        ('a.tif', 'RGBA', (20, 24, 4), 'RGBA'),
        pytest.param('a.tif', 'YCbCr', (20, 24, 3), 'RGB', marks=WRITES_YCBCR),
        ('a.webp', 'RGB', (20, 24, 3), 'RGB'),
        ('a.bmp', 'RGB', (20, 24, 3), 'RGB'),
        ('a.ppm', 'RGB', (20, 24, 3), 'RGB'),
        ('a.pgm', 'L', (20, 24, 1), 'L'),
        ('a.gif', 'RGB', (20, 24, 3), 'P'),
    ],
)
def test_a_photo_keeps_its_format_and_mode(tmp_path, name, mode, shape, written):
    path = saved(tmp_path / name, mode)
    photo, data = inverted(path)
    assert photo.pixels.shape == shape
    assert photo.pixels.dtype == np.uint8
    before, after = Image.open(path), Image.open(io.BytesIO(data))
    assert (after.format, after.size, after.mode) == (before.format, before.size, written)
    bands = 'L' if shape[2] < 3 else 'RGB'
    want = 255 - np.asarray(before.convert(bands), int)
    error = np.abs(np.asarray(after.convert(bands)) - want).max()
    assert error <= (0 if path.suffix[1:] in EXACT else 24)  # JPEG and palettes are not exact
    if mode in ('LA', 'RGBA'):
        assert after.getchannel('A').tobytes() == before.getchannel('A').tobytes()


def test_transparent_palette(tmp_path):
    path = tmp_path / 'a.png'
    Image.fromarray(colors()).quantize(8).save(path, transparency=3)
    before = np.asarray(Image.open(path).convert('RGBA'))
    assert 0 < (before[..., 3] == 0).sum() < before[..., 3].size
    assert np.array_equal(np.asarray(rewritten(path)), before)


def test_webp_stays_lossless(tmp_path):
    path = saved(tmp_path / 'a.webp', 'RGBA', lossless=True, exact=True)
    assert np.array_equal(np.asarray(rewritten(path)), np.asarray(Image.open(path)))


@pytest.mark.parametrize('name', ['a.png', 'a.tif', 'a.ppm'])
@pytest.mark.parametrize('channels', [1, 3, 4])
def test_sixteen_bits_stay_sixteen(tmp_path, name, channels):
    pixels = np.dstack([colors16(), colors16()[..., :1]])[..., :channels]
    path = tmp_path / name
    if path.suffix == '.ppm' and channels != 3:
        path = path.with_suffix('.pgm')
        pixels = pixels[..., :1]
    bgr = pixels if pixels.shape[2] == 1 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    assert cv2.imwrite(str(path), bgr)
    photo = read_photo(path)
    assert np.array_equal(photo.pixels, pixels)
    tensor = to_tensor(photo.pixels)
    assert tensor[0, 0, 0, 0].item() == pytest.approx(pixels[0, 0, 0] / 65535)
    assert np.array_equal(like_pixels(tensor, photo.pixels), pixels)
    path.write_bytes(photo.encode(photo.pixels))
    assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED).reshape(bgr.shape), bgr)
    assert np.array_equal(read_photo(path).pixels, pixels)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('name', ['a.jpg', 'a.png', 'a.webp', 'a.tif'])
def test_a_rotated_photo_is_restored_upright_and_looks_the_same(tmp_path, orientation, name):
    exif = Image.Exif()
    exif[274] = orientation
    options = dict(lossless=True) if name == 'a.webp' else {}
    path = saved(tmp_path / name, exif=exif, **options)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    assert np.array_equal(read_photo(path).pixels, upright)
    shown = np.asarray(ImageOps.exif_transpose(rewritten(path)), int)
    assert np.abs(shown - upright).max() <= (24 if name == 'a.jpg' else 0)


def test_metadata_of_jpeg(tmp_path):
    exif = Image.Exif()
    exif[274], exif[271] = 6, 'Maker'
    path = saved(
        tmp_path / 'a.jpg', exif=exif, icc_profile=PROFILE, dpi=(300, 200), comment=b'by me'
    )
    before, after = Image.open(path), rewritten(path)
    for key in ('exif', 'icc_profile', 'dpi', 'comment'):
        assert after.info[key] == before.info[key]


def test_metadata_of_png(tmp_path):
    path = tmp_path / 'a.png'
    texts = PngInfo()
    texts.add_text('Title', 'a')
    texts.add_itxt('Ort', 'Zürich')
    saved(path, pnginfo=texts, icc_profile=PROFILE, dpi=(72, 72))
    assert rewritten(path).info == Image.open(path).info
    assert rewritten(path).info['Ort'] == 'Zürich'
    # photos of 16 bits are written by other code
    deep = cv2.imencode('.png', colors16())[1].tobytes()
    chunks = path.read_bytes()[33 : path.read_bytes().index(b'IDAT') - 4]
    path.write_bytes(deep[:33] + chunks + deep[33:])
    assert read_photo(path).pixels.dtype == np.uint16
    assert rewritten(path).info['Ort'] == 'Zürich'
    assert rewritten(path).info['icc_profile'] == PROFILE


def test_metadata_of_tiff(tmp_path):
    tags = {271: 'Maker', 315: 'me', 700: b'<xmp/>', 34377: b'8BIM', 282: 300.0, 283: 200.0, 296: 2}
    path = saved(tmp_path / 'a.tif', tiffinfo=tags, icc_profile=PROFILE, compression='tiff_lzw')
    after = rewritten(path)
    assert after.info['icc_profile'] == PROFILE
    assert after.info['compression'] == 'tiff_lzw'
    assert after.info['dpi'] == (300, 200)
    assert {tag: after.tag_v2[tag] for tag in tags} == tags
    saved(path, tiffinfo={**tags, 34665: {33434: 0.01}})
    after = rewritten(path)
    assert float(after.getexif().get_ifd(34665)[33434]) == pytest.approx(0.01)
    assert after.tag_v2[271] == 'Maker'


def test_metadata_of_16_bit_tiff(tmp_path):
    path = tmp_path / 'a.tif'
    extra = [(271, 's', 0, 'Maker', True)]
    tifffile.imwrite(
        path, colors16(), photometric='rgb', iccprofile=PROFILE, resolution=(300, 200),
        resolutionunit=2, extratags=extra,
    )  # fmt: skip
    after = rewritten(path)
    assert after.info['icc_profile'] == PROFILE
    assert after.info['dpi'] == (300, 200)
    assert after.tag_v2[271] == 'Maker'


def test_the_first_image_of_a_phones_jpeg(tmp_path):
    path = tmp_path / 'a.jpg'
    first, second = Image.fromarray(colors()), Image.fromarray(colors(seed=1))
    first.save(path, 'MPO', save_all=True, append_images=[second], quality=95)
    assert np.abs(read_photo(path).pixels.astype(int) - colors()).max() < 60
    assert rewritten(path).format == 'JPEG'


def test_conversion_to_the_network_and_back():
    pixels = np.array([[[10, 200], [255, 7]]], np.uint8)  # gray and alpha
    tensor = to_tensor(pixels)
    assert tensor.shape == (1, 3, 1, 2)
    assert torch.equal(tensor[0, 0], tensor[0, 2])
    assert tensor[0, :, 0, 0].tolist() == pytest.approx([10 / 255] * 3)
    restored = torch.tensor([0.1, 0.3, 0.5]).view(1, 3, 1, 1).repeat(1, 1, 1, 2)
    restored[..., 1] = 1.5
    back = like_pixels(restored, pixels)
    assert back.tolist() == [[[round(0.3 * 255), 200], [255, 7]]]
    color = like_pixels(
        torch.tensor([-0.2, 0.5, 0.9999]).view(1, 3, 1, 1), pixels[:, :1].repeat(2, 2)[..., :3]
    )
    assert color.tolist() == [[[0, 128, 255]]]


def cmyk_profile():
    """A profile without colors: cyan, magenta and yellow each darken a third as much as black."""

    def table(inputs, outputs, corners):
        # a table of 8 bits with two nodes per input and linear curves
        matrix = struct.pack('>9i', 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
        curve = bytes(range(256))
        head = b'mft1' + bytes([0, 0, 0, 0, inputs, outputs, 2, 0])
        return head + matrix + curve * inputs + bytes(corners) + curve * outputs

    def lightness(c, m, y, k):
        return round(255 * (1 - k) * (1 - (c + m + y) / 3))

    to_lab = [v for inks in product((0, 1), repeat=4) for v in (lightness(*inks), 128, 128)]
    from_lab = [v for lab in product((0, 1), repeat=3) for v in (0, 0, 0, 255 * (1 - lab[0]))]
    white = b'XYZ ' + bytes(4) + struct.pack('>3i', 63190, 65536, 54061)
    tags = {b'A2B0': table(4, 3, to_lab), b'B2A0': table(3, 4, from_lab), b'wtpt': white}
    tags = {name: data + bytes(-len(data) % 4) for name, data in tags.items()}
    entries, data, start = b'', b'', 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        entries += name + struct.pack('>2I', start + len(data), len(content))
        data += content
    head = struct.pack('>I', start + len(data)) + b'lcms' + bytes([2, 0x40, 0, 0]) + b'prtrCMYKLab '
    head += bytes(12) + b'acsp' + bytes(28) + struct.pack('>3i', 63190, 65536, 54061) + bytes(48)
    return head + struct.pack('>I', len(tags)) + entries + data


def test_cmyk_is_converted_by_its_profile(tmp_path):
    path = tmp_path / 'a.tif'
    inks = np.zeros((8, 8, 4), np.uint8)
    inks[:4, :, 0], inks[4:, :, 3] = 255, 128  # top: full cyan; bottom: half black
    Image.fromarray(inks, 'CMYK').save(path, icc_profile=cmyk_profile())
    photo = read_photo(path)
    cyan, black = photo.pixels[[0, 7], 0].astype(int)
    assert np.ptp(cyan) <= 2  # the profile gives gray; Pillow's formula would give cyan
    assert abs(cyan[0] - 163) <= 3  # sRGB value of L* = 100 * 2 / 3
    assert abs(black[0] - 119) <= 3  # sRGB value of L* = 50
    after = rewritten(path)
    assert (after.mode, after.info['icc_profile']) == ('CMYK', cmyk_profile())
    assert np.asarray(after)[7, 0].tolist() == pytest.approx([0, 0, 0, 128], abs=3)
    assert np.asarray(after)[0, 0].tolist() == pytest.approx([0, 0, 0, 85], abs=3)


def test_a_profile_that_is_not_for_cmyk(tmp_path):
    path = saved(tmp_path / 'a.jpg', 'CMYK', icc_profile=PROFILE)
    with pytest.raises(UserError, match=r'The CMYK profile of .*a\.jpg. cannot be used'):
        read_photo(path)


def decompression_bomb(side):
    head = b'IHDR' + struct.pack('>IIBBBBB', side, side, 8, 0, 0, 0, 0)
    end = b'IEND'
    chunks = [
        struct.pack('>I', len(body) - 4) + body + struct.pack('>I', zlib.crc32(body))
        for body in (head, b'IDAT' + zlib.compress(b'0'), end)
    ]
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunks)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.png', b'', 'is empty'),
        ('a.jpg', b'hello, this is text', 'not an image of a known kind; convert it'),
        ('a.heic', b'\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'pip install pillow-heif'),
        ('a.png', decompression_bomb(20000), 'more than 178 megapixels'),
    ],
)
def test_files_that_are_not_photos(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        read_photo(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize('name', ['a.png', 'a.jpg', 'a.tif', 'a.webp', 'a.gif', 'a.bmp', 'a.ppm'])
def test_incomplete_files(tmp_path, name):
    path = saved(tmp_path / name)
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    with pytest.raises(UserError, match=r"a\.\w+' is damaged"):
        read_photo(path)


def test_photos_that_are_not_supported(tmp_path):
    frames = [Image.fromarray(colors(seed=seed)) for seed in (0, 1)]
    frames[0].save(tmp_path / 'a.gif', save_all=True, append_images=frames[1:])
    with pytest.raises(UserError, match=r"a\.gif' contains 2 images"):
        read_photo(tmp_path / 'a.gif')
    Image.fromarray(colors()[..., 0].astype(np.float32)).save(tmp_path / 'a.tif')
    with pytest.raises(UserError, match='has pixels of type F'):
        read_photo(tmp_path / 'a.tif')
    with pytest.raises(UserError, match='Cannot read the photo .*none'):
        read_photo(tmp_path / 'none.png')


@pytest.mark.parametrize('name', ['a.dng', 'A.NEF', 'b.jxl'])
def test_the_preview_of_a_raw_photo_is_not_read(tmp_path, name):
    Image.new('RGB', (30, 20)).save(tmp_path / 'preview.tif')
    data = (tmp_path / 'preview.tif').read_bytes()
    assert decode_photo('preview.tif', data).pixels.shape == (20, 30, 3)
    with pytest.raises(UserError, match=r'is of a kind \(.*\) that is not supported; convert it'):
        decode_photo(name, data)
