"""Read the metadata of photos that is copied to the results."""

import os
from typing import Any, BinaryIO, Dict, Iterator, Tuple

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

__all__ = ['is_complete_png', 'png_chunks', 'save_options']

# PNG chunks that are copied, because they also apply to the restored pixels: color, density, EXIF
# and texts.
_PNG_KEPT = tuple(b'cHRM gAMA iCCP sRGB cICP pHYs eXIf tEXt zTXt iTXt'.split())

# TIFF tags that are copied: description, make, model, density, software, date, artist, host, XMP,
# copyright, IPTC, Photoshop and the color profile.
_TIFF_KEPT = (270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 700, 33432, 33723, 34377, 34675)
_TIFF_EXIF = 34665
_TIFF_LOSSLESS = ('tiff_lzw', 'tiff_adobe_deflate', 'packbits')


def save_options(image: Image.Image, data: bytes) -> Dict[str, Any]:
    """Collect the options with which Pillow saves other pixels in the format of this image."""
    if isinstance(image, TiffImageFile):
        return _tiff_options(image)
    kind = image.format or ''
    kept = {
        'JPEG': ('exif', 'icc_profile', 'xmp', 'comment', 'dpi'),
        'WEBP': ('exif', 'icc_profile', 'xmp'),
        'AVIF': ('exif', 'icc_profile', 'xmp'),
        'HEIF': ('exif', 'icc_profile', 'xmp'),
        'BMP': ('dpi',),
        'GIF': ('comment',),
    }
    kept['MPO'] = kept['JPEG']
    options = {key: image.info[key] for key in kept.get(kind, ()) if image.info.get(key)}
    if kind in ('JPEG', 'MPO'):
        options.update(quality=95, subsampling=0)
    elif kind == 'WEBP':
        options.update(quality=95, exact=True, lossless=_has_webp_chunk(data, b'VP8L'))
    elif kind == 'AVIF':
        options.update(quality=95, subsampling='4:0:0' if image.mode == 'L' else '4:4:4')
    elif kind == 'HEIF':
        options.update(quality=95)
    return options


def _has_webp_chunk(data: bytes, name: bytes) -> bool:
    start = 12
    while start < len(data) and data[start : start + 4] != name:
        size = int.from_bytes(data[start + 4 : start + 8], 'little')
        start += 8 + size + size % 2
    return start < len(data)


def _tiff_options(image: TiffImageFile) -> Dict[str, Any]:
    tags = {tag: image.tag_v2[tag] for tag in _TIFF_KEPT if tag in image.tag_v2}
    compression = image.info.get('compression')
    if compression not in (*_TIFF_LOSSLESS, 'raw'):
        compression = 'tiff_adobe_deflate'
    exif = image.getexif().get_ifd(_TIFF_EXIF)
    if exif:
        tags[_TIFF_EXIF] = dict(exif)
        compression = 'raw'  # Pillow cannot write both EXIF and compressed pixels
    # set the profile, because Pillow would otherwise write LittleCMS's copy of a CMYK profile
    profile = image.info.get('icc_profile')
    return dict(tiffinfo=tags, compression=compression, icc_profile=profile)


def png_chunks(file: BinaryIO) -> bytes:
    """Return the chunks of a PNG file that are copied to the result."""
    kept = []
    for kind, start, end in _chunks(file):
        if kind in _PNG_KEPT:
            file.seek(start)
            kept.append(file.read(end - start))
    return b''.join(kept)


def is_complete_png(file: BinaryIO) -> bool:
    """Return whether all chunks of a PNG file end inside the file."""
    return any(kind == b'IEND' for kind, _, _ in _chunks(file))


def _chunks(file: BinaryIO) -> Iterator[Tuple[bytes, int, int]]:
    """Yield the kind, the start and the end of each complete chunk of a PNG file."""
    size = file.seek(0, os.SEEK_END)
    kind, start = b'', 8
    while kind != b'IEND':
        file.seek(start)
        length, kind = file.read(4), file.read(4)
        end = start + 12 + int.from_bytes(length, 'big')
        if end > size:
            return
        yield kind, start, end
        start = end
