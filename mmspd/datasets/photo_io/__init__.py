"""Read and write photos of all supported formats, modes and bit depths."""

from mmspd.datasets.photo_io.photo import Photo, decode_photo, read_photo
from mmspd.datasets.photo_io.suffixes import IMAGE_SUFFIXES, PHOTO_SUFFIXES
from mmspd.datasets.photo_io.tensors import as_rgb, like_pixels, to_tensor

__all__ = [
    'IMAGE_SUFFIXES',
    'PHOTO_SUFFIXES',
    'Photo',
    'as_rgb',
    'decode_photo',
    'like_pixels',
    'read_photo',
    'to_tensor',
]
