"""Suffixes of the image files that can be read."""

__all__ = ['IMAGE_SUFFIXES', 'PHOTO_SUFFIXES']

#: Suffixes of the photos that can be restored.
PHOTO_SUFFIXES = (
    *('.png', '.jpg', '.jpeg', '.jpe', '.jfif', '.tif', '.tiff', '.webp', '.avif', '.bmp', '.gif'),
    *('.ppm', '.pgm', '.pbm', '.pnm', '.heic', '.heif', '.hif', '.mpo', '.insp'),
)
#: Suffixes of the images of data sets.
IMAGE_SUFFIXES = PHOTO_SUFFIXES
