"""Align the pairs of Levin et al. (CVPR 2009), photos of a real camera that shook."""

import re
from pathlib import Path
from typing import Tuple

import cv2
import numpy as np

from mmspd.datasets.image_io import read_rgb, write_png
from mmspd.errors import UserError

__all__ = ['align_levin09']

_BLURRY = re.compile(r'im(\d+)_kernel(\d+)_img\.png')
_BORDER = 24  # pixels that are cut off: the border of a blurry photo saw more than the sharp photo
_REACH = 8  # pixels; the largest shift that is tried


def align_levin09(source: Path, out: Path) -> int:
    """Write aligned pairs to ``<out>/{blur,sharp}/im<I>/kernel<K>.png``.

    A blurry photo of this data set is up to four pixels away from its sharp photo. The shift is
    found with the measured kernel: the sharp photo is blurred with the centered kernel, and the
    shift with the smallest squared error to the blurry photo is chosen. After the alignment, the
    mean displacement of the blur is zero, up to half a pixel. The shift does not depend on a
    restored photo.

    Args:
        source: Folder with ``im<I>_kernel<K>_img.png``, ``gt/im<I>.png`` and ``gt/kernel<K>.png``.
        out: Output folder.

    Returns:
        Number of pairs.

    Raises:
        UserError: The folder has no such photo.
    """
    names = [(path, _BLURRY.fullmatch(path.name)) for path in sorted(source.glob('*'))]
    found = [(path, *match.groups()) for path, match in names if match]
    if not found:
        raise UserError(
            f"'{source}' has no photo im<I>_kernel<K>_img.png; give the folder of levin09."
        )
    for path, photo, kernel in found:
        files = [path, source / 'gt' / f'im{photo}.png', source / 'gt' / f'kernel{kernel}.png']
        blurry, sharp, taps = (read_rgb(file, convert=True) for file in files)
        aligned = np.roll(sharp, find_shift(blurry, sharp, taps[..., 0]), (0, 1))
        inner = np.s_[_BORDER:-_BORDER, _BORDER:-_BORDER]
        for name, image in (('blur', blurry), ('sharp', aligned)):
            write_png(out / name / f'im{photo}' / f'kernel{kernel}.png', image[inner])
    return len(found)


def find_shift(blurry: np.ndarray, sharp: np.ndarray, taps: np.ndarray) -> Tuple[int, int]:
    """Find the shift of a sharp photo that aligns it with its blurry photo.

    Args:
        blurry: Blurry photo ``(H, W, 3)``, RGB, uint8.
        sharp: Sharp photo of the same shape, RGB, uint8.
        taps: Measured kernel ``(h, w)``, or this kernel turned by 180 degrees.

    Returns:
        The shift ``(y, x)`` in pixels, at most 8 in each direction.
    """
    target, photo = (image[..., 1].astype(np.float64) for image in (blurry, sharp))
    inner = np.s_[_BORDER:-_BORDER, _BORDER:-_BORDER]
    reach = range(-_REACH, _REACH + 1)
    candidates = []
    for kernel in (taps, taps[::-1, ::-1]):  # the files of the kernels differ in their direction
        blurred = _blur_centered(photo, kernel / kernel.sum())
        for shift in ((y, x) for y in reach for x in reach):
            error = np.roll(blurred, shift, (0, 1))[inner] - target[inner]
            candidates.append((float(np.mean(error**2)), shift))
    return min(candidates)[1]


def _blur_centered(photo: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve a photo with a kernel whose center of mass is moved to the origin."""
    moments = cv2.moments(kernel)
    x, y = (moments[key] / moments['m00'] for key in ('m10', 'm01'))
    rows, columns = np.fft.fftfreq(photo.shape[0])[:, None], np.fft.rfftfreq(photo.shape[1])
    centered = np.fft.rfft2(kernel, photo.shape) * np.exp(2j * np.pi * (rows * y + columns * x))
    return np.fft.irfft2(np.fft.rfft2(photo) * centered, photo.shape)
