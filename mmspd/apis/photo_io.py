"""Read photos, and write results in the format, mode and bit depth of the photo."""

import struct
import warnings
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import cv2
import numpy as np
import tifffile
import torch
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from mmspd.datasets.image_io import IMAGE_SUFFIXES
from mmspd.errors import UserError

__all__ = ['PHOTO_SUFFIXES', 'Photo', 'decode_photo', 'like_pixels', 'read_photo', 'to_tensor']

PHOTO_SUFFIXES = (
    *IMAGE_SUFFIXES,
    *('.jpe', '.jfif', '.gif', '.avif', '.pgm', '.pnm', '.heic', '.heif'),
)

# Pillow opens more formats. Some of them are documents that run other programs.
_FORMATS = ('PNG', 'JPEG', 'MPO', 'TIFF', 'BMP', 'WEBP', 'PPM', 'GIF', 'AVIF', 'HEIF')
# Exceptions that Pillow raises for damaged files, depending on the place of the damage.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error)
_MODES = {1: 'L', 2: 'LA', 3: 'RGB', 4: 'RGBA'}

_ORIENTATION = 274  # the EXIF and TIFF tag
#: Two steps that make the stored pixels upright, for each EXIF orientation: whether to mirror them
#: from left to right, and then the number of quarter turns to the left.
_UPRIGHT = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3)}
_UPRIGHT[8] = (False, 1)

# PNG chunks that are copied, because they also apply to the restored pixels: color, density, EXIF
# and texts.
_PNG_KEPT = tuple(b'cHRM gAMA iCCP sRGB cICP pHYs eXIf tEXt zTXt iTXt'.split())
_PNG_HEADER = 33  # length of the signature and of the first chunk, IHDR

# TIFF tags that are copied: description, make, model, density, software, date, artist, host, XMP,
# copyright, IPTC, Photoshop and the color profile.
_TIFF_KEPT = (270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 700, 33432, 33723, 34377, 34675)
_TIFF_EXIF = 34665
_TIFF_LOSSLESS = ('tiff_lzw', 'tiff_adobe_deflate', 'packbits')


@dataclass(frozen=True)
class Photo:
    """A photo with the metadata of its file.

    Attributes:
        pixels: Upright pixels ``(H, W, C)``, uint8 or uint16. C is 1 (gray), 2 (gray and alpha),
            3 (RGB) or 4 (RGB and alpha). Palettes and CMYK are converted to RGB.
        format: Pillow's name of the file format, such as ``'PNG'``.
    """

    pixels: np.ndarray
    format: str
    _orientation: int = 1
    _options: Dict[str, Any] = field(default_factory=dict)
    _png_chunks: bytes = b''
    _to_cmyk: Optional[Callable[[Image.Image], Image.Image]] = None

    def encode(self, pixels: np.ndarray) -> bytes:
        """Encode new pixels, such as a restored photo, in the file format of this photo.

        Gray, alpha, 16 bits and CMYK are kept. A palette is only written to GIF files. JPEG, lossy
        WebP and AVIF are written with quality 95; JPEG and AVIF have full color resolution. The
        color profile, EXIF, XMP, texts and density are kept, except for the EXIF of 16-bit TIFF.
        A TIFF with EXIF is not compressed. The pixels are turned back to the stored orientation, so
        an orientation tag stays correct. TIFF files are an exception: they are upright and have no
        tag.

        Args:
            pixels: Pixels of the same shape and dtype as :attr:`pixels`.

        Returns:
            The content of the file.
        """
        mirrored, turns = _UPRIGHT.get(self._orientation, (False, 0))
        pixels = np.rot90(pixels, -turns)
        pixels = np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels)
        if pixels.dtype == np.uint16 and self.format == 'TIFF':
            data = _encode_tiff16(pixels, self._options['tiffinfo'])
        elif pixels.dtype == np.uint16:
            data = _encode_by_opencv(pixels, '.png' if self.format == 'PNG' else '.pnm')
        else:
            image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            if self._to_cmyk is not None:
                image = self._to_cmyk(image)
            buffer = BytesIO()
            image.save(buffer, self.format, **self._options)
            data = buffer.getvalue()
        if self.format == 'PNG':
            return data[:_PNG_HEADER] + self._png_chunks + data[_PNG_HEADER:]
        return data


def read_photo(path: Union[str, Path]) -> Photo:
    """Read a photo of up to 178 megapixels.

    The formats are PNG, JPEG, TIFF, BMP, WebP, GIF, AVIF and PPM, and HEIC if the package
    pillow-heif is installed. The content of the file determines the format; the suffix is ignored.
    CMYK is converted with its color profile, or with Pillow's formula if there is no profile. RGB
    values are read as they are stored; their profile is not applied.

    Args:
        path: The photo.

    Returns:
        The photo.

    Raises:
        UserError: The file cannot be read, is damaged, is not an image of a supported kind, is too
            large, or contains several images.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from mmspd.apis.photo_io import read_photo
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, 'gray.png')
        ...     Image.new('L', (30, 20)).save(path)
        ...     photo = read_photo(path)
        >>> photo.format, photo.pixels.shape
        ('PNG', (20, 30, 1))
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(
            f"Cannot read the photo '{path}' ({error.strerror}); check the path and permissions."
        ) from error
    return decode_photo(path, data)


def decode_photo(path: Union[str, Path], data: bytes) -> Photo:
    """Decode the content of a photo file; see :func:`read_photo`.

    Args:
        path: Name of the file, for error messages.
        data: Content of the file.

    Returns:
        The photo.

    Raises:
        UserError: The content is damaged, is not an image of a supported kind, is too large, or
            contains several images.
    """
    if not data:
        raise UserError(f"'{path}' is empty (0 bytes); copy it again or remove it.")
    image = _decode(path, data)
    if _bits(image, data) == 16:
        pixels, to_cmyk = _decode16(path, image, data), None
    else:
        pixels, to_cmyk = _decode8(path, image)
    # Pillow and OpenCV already apply the orientation of TIFF files
    orientation = 1 if image.format == 'TIFF' else image.getexif().get(_ORIENTATION, 1)
    mirrored, turns = _UPRIGHT.get(orientation, (False, 0))
    pixels = np.ascontiguousarray(np.rot90(pixels[:, ::-1] if mirrored else pixels, turns))
    return Photo(
        pixels,
        'JPEG' if image.format == 'MPO' else image.format or '',
        orientation,
        _save_options(image, data),
        _png_metadata(data) if image.format == 'PNG' else b'',
        to_cmyk,
    )


def _decode(path: Union[str, Path], data: bytes) -> Image.Image:
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


def _save_options(image: Image.Image, data: bytes) -> Dict[str, Any]:
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
        # lossless files contain a VP8L chunk
        options.update(quality=95, exact=True, lossless=b'VP8L' in data)
    elif kind == 'AVIF':
        options.update(quality=95, subsampling='4:4:4')
    elif kind == 'HEIF':
        options.update(quality=95)
    return options


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


def _png_metadata(data: bytes) -> bytes:
    """Return the chunks of a PNG file that are copied to the result."""
    kept, start = b'', 8
    while start < len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], 'big')
        if data[start + 4 : start + 8] in _PNG_KEPT:
            kept += data[start:end]
        start = end
    return kept


def _encode_by_opencv(pixels: np.ndarray, suffix: str) -> bytes:
    """Encode 16 bits per channel as PNG or PPM, because Pillow would reduce color to 8 bits."""
    order = {1: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[pixels.shape[2]]
    bgr = pixels if order is None else cv2.cvtColor(pixels, order)
    done, data = cv2.imencode(suffix, bgr)
    if not done:
        raise RuntimeError(f'OpenCV cannot encode an array of shape {pixels.shape} as {suffix}.')
    return data.tobytes()


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


def to_tensor(pixels: np.ndarray, device: Union[str, torch.device] = 'cpu') -> Tensor:
    """Convert the pixels of a photo to the input of a network.

    Args:
        pixels: Pixels ``(H, W, C)`` as in :class:`Photo`, uint8 or uint16.
        device: The pixels are copied to this device and converted there.

    Returns:
        ``(1, 3, H, W)``, RGB, [0, 1], float32. Gray becomes three equal channels. The alpha channel
        is dropped.

    Examples:
        >>> import numpy as np
        >>> from mmspd.apis.photo_io import to_tensor
        >>> gray = np.full((20, 30, 1), 51, np.uint8)
        >>> image = to_tensor(gray)
        >>> image.shape, round(image.max().item(), 3)
        (torch.Size([1, 3, 20, 30]), 0.2)
    """
    color = pixels[..., :3] if pixels.shape[2] > 2 else pixels[..., :1]
    # A copy, because Pillow's pixels are read-only. int32, because old PyTorch lacks uint16.
    stored = np.array(color, np.uint8 if pixels.dtype == np.uint8 else np.int32, order='C')
    planes = torch.from_numpy(stored).to(device).permute(2, 0, 1)
    planes = planes.to(torch.float32, memory_format=torch.contiguous_format)
    return planes.div_(np.iinfo(pixels.dtype).max).expand(3, -1, -1)[None].contiguous()


def like_pixels(restored: Tensor, pixels: np.ndarray) -> np.ndarray:
    """Convert the output of a network to pixels of the same kind as the input.

    Args:
        restored: Output ``(1, 3, H, W)``, RGB, about [0, 1], on any device. It is overwritten to
            save memory.
        pixels: Pixels of the input, ``(H, W, C)``.

    Returns:
        Pixels of the same shape and dtype as ``pixels``, clamped and rounded. Gray is the mean of
        the three channels. The alpha channel is that of the input.
    """
    gray = pixels.shape[2] < 3
    planes = restored[0].mean(0, keepdim=True) if gray else restored[0]
    planes = planes.clamp_(0, 1).mul_(np.iinfo(pixels.dtype).max).round_()
    # convert before the copy to the CPU, because uint8 has fewer bytes than float32
    whole = planes.to(torch.uint8 if pixels.dtype == np.uint8 else torch.int32)
    output = pixels.copy()
    output[..., : len(planes)] = whole.permute(1, 2, 0).contiguous().cpu().numpy()
    return output
