"""Suffixes of the image files that can be read."""

__all__ = ['IMAGE_SUFFIXES', 'PHOTO_SUFFIXES']

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp', '.ppm')
PHOTO_SUFFIXES = (
    *IMAGE_SUFFIXES,
    *('.jpe', '.jfif', '.gif', '.avif', '.pgm', '.pnm', '.heic', '.heif'),
)
