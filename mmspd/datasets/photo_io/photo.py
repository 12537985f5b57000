"""Read photos, and write results in the format, mode and bit depth of the photo."""

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Union

import numpy as np
from PIL import Image

from mmspd.datasets.photo_io.decode import decode_pixels, open_image
from mmspd.datasets.photo_io.encode import encode_by_opencv, encode_tiff16
from mmspd.datasets.photo_io.metadata import png_chunks, save_options
from mmspd.errors import UserError

__all__ = ['Photo', 'decode_photo', 'read_photo']

_ORIENTATION = 274  # the EXIF and TIFF tag
#: Two steps that make the stored pixels upright, for each EXIF orientation: whether to mirror them
#: from left to right, and then the number of quarter turns to the left.
_UPRIGHT = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3)}
_UPRIGHT[8] = (False, 1)
_PNG_HEADER = 33  # length of the signature and of the first chunk, IHDR


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
            data = encode_tiff16(pixels, self._options['tiffinfo'])
        elif pixels.dtype == np.uint16:
            data = encode_by_opencv(pixels, '.png' if self.format == 'PNG' else '.pnm')
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
        >>> from mmspd.datasets.photo_io import read_photo
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
    image = open_image(path, data)
    pixels, to_cmyk = decode_pixels(path, image, data)
    # Pillow and OpenCV already apply the orientation of TIFF files
    orientation = 1 if image.format == 'TIFF' else image.getexif().get(_ORIENTATION, 1)
    mirrored, turns = _UPRIGHT.get(orientation, (False, 0))
    pixels = np.ascontiguousarray(np.rot90(pixels[:, ::-1] if mirrored else pixels, turns))
    return Photo(
        pixels,
        'JPEG' if image.format == 'MPO' else image.format or '',
        orientation,
        save_options(image, data),
        png_chunks(data) if image.format == 'PNG' else b'',
        to_cmyk,
    )
