"""Read photos, and write results in the format, mode and bit depth of the photo."""

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Dict, Optional, Union

import numpy as np

from mmspd.datasets.photo_io.colors import ToCMYK
from mmspd.datasets.photo_io.decode import decode, turn_back
from mmspd.datasets.photo_io.encode import encode_deep, encode_pnm, encode_with_opencv, to_image
from mmspd.datasets.photo_io.metadata import png_chunks, save_options
from mmspd.datasets.photo_io.source import guard, read_file
from mmspd.errors import UserError
from mmspd.utils.skipped import kind_of

__all__ = ['Photo', 'decode_photo', 'read_photo']

_PNG_HEADER = 33  # length of the signature and of the first chunk, IHDR


@dataclass(frozen=True)
class Photo:
    """A photo with the metadata of its file.

    Attributes:
        pixels: Upright pixels ``(H, W, C)``, uint8, or uint16 if the file has more than 8 bits per
            channel. The values of the file are scaled to the range of the dtype. C is 1 (gray), 2
            (gray and alpha), 3 (RGB) or 4 (RGB and alpha). Palettes and CMYK are converted to RGB.
        format: Pillow's name of the file format, such as ``'PNG'``.
    """

    pixels: np.ndarray
    format: str
    _maximum: int = 255
    _orientation: int = 1
    _options: Dict[str, Any] = field(default_factory=dict)
    _png_chunks: bytes = b''
    _to_cmyk: Optional[ToCMYK] = None

    def encode(self, pixels: np.ndarray) -> bytes:
        """Encode new pixels, such as a restored photo, in the file format of this photo.

        Gray, alpha, the number of bits, the largest value of PGM and PPM, and CMYK are kept.
        Associated alpha of TIFF is written as unassociated alpha. A palette is only written to GIF
        files. JPEG, lossy WebP, HEIC and AVIF are written with quality 95; AVIF of more than 8 bits
        is written without loss. JPEG and AVIF have full color resolution. The color profile, EXIF,
        XMP, texts and density are kept, except for the EXIF of 16-bit TIFF and the density of BMP
        with alpha. A TIFF with EXIF is not compressed. The pixels are turned back to the stored
        orientation, so an orientation tag stays correct. TIFF files are an exception: they are
        upright and have no tag.

        Args:
            pixels: Pixels of the same shape and dtype as :attr:`pixels`.

        Returns:
            The content of the file.

        Raises:
            UserError: The pixels or the metadata cannot be written in this format.
        """
        try:
            data = self._encode(turn_back(pixels, self._orientation))
        except Exception as error:  # encoders raise errors of many kinds
            reason = ' '.join(str(error).split())[:200] or type(error).__name__
            raise UserError(
                f'Cannot save the result as {self.format} ({reason}); convert the photo to PNG.'
            ) from error
        if self.format == 'PNG':
            return data[:_PNG_HEADER] + self._png_chunks + data[_PNG_HEADER:]
        return data

    def _encode(self, pixels: np.ndarray) -> bytes:
        """Encode stored pixels without PNG metadata."""
        if pixels.dtype == np.uint16:
            return encode_deep(pixels, self.format, self._maximum, self._options)
        if self.format == 'PPM':
            return encode_pnm(pixels, self._maximum)
        if self.format == 'BMP' and pixels.shape[2] == 4:  # Pillow would lose the alpha channel
            return encode_with_opencv(pixels, '.bmp', {}, {})
        image = to_image(pixels)
        if self._to_cmyk is not None:
            image = self._to_cmyk(image)
        buffer = BytesIO()
        image.save(buffer, self.format, **self._options)
        return buffer.getvalue()


def read_photo(path: Union[str, Path]) -> Photo:
    """Read a photo of up to 178 megapixels.

    The formats are PNG, JPEG, TIFF, BMP, WebP, GIF, AVIF, PBM, PGM and PPM, and HEIC if the package
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
        >>> from mmspd.datasets.photo_io import read_photo
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, 'gray.png')
        ...     Image.new('L', (30, 20)).save(path)
        ...     photo = read_photo(path)
        >>> photo.format, photo.pixels.shape
        ('PNG', (20, 30, 1))
    """
    return decode_photo(path, read_file(path))


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
    unsupported = kind_of(Path(path))
    if unsupported:  # some decoders would read the preview of a raw photo
        raise UserError(f"'{path}' is of a kind ({unsupported}) that is not supported; convert it.")
    pixels, image, maximum, orientation, to_cmyk = decode(path, data)
    kind = 'JPEG' if image.format == 'MPO' else image.format or ''
    with guard(path):
        options = save_options(image, data)
        chunks = png_chunks(BytesIO(data)) if kind == 'PNG' else b''
    return Photo(pixels, kind, maximum, orientation, options, chunks, to_cmyk)
