"""How severe a blur is, by its extent, and how to measure it on a pair of photos."""

import itertools
import math
from typing import Iterator, Optional, Tuple

import cv2
import numpy as np

from mmspd.errors import UserError

__all__ = ['SEVERITIES', 'measure_extent', 'severity_of']

#: Range of the blur extent by severity, as a share of sqrt(H * W): at 1280x720 pixels 8-15, 15-31
#: and 31-61 pixels, at 481x321 3-6, 6-13 and 13-25.
SEVERITIES = {'mild': (0.008, 0.016), 'moderate': (0.016, 0.032), 'severe': (0.032, 0.064)}

# Chosen on synthesized blur of BSDS500, of which nine images of ten get the right severity.
_PATCH = 0.25  # side of a patch, as a share of sqrt(H * W): four times the most severe extent
_MIN_SIDE = 32  # of a patch, in pixels; smaller ones say too little
_NOISE = 1e-4  # variance, in linear light with white at 1, of what no blur explains
_VISIBLE = 0.2  # share of the spatial frequencies that a patch must show above that noise
_EXPLAINED = 0.5  # share of a blurry patch's variance that its kernel must explain
_AGREEING = 0.5  # share of the textured patches that some kernel must explain
_ABOVE = 0.12  # share of the kernel's maximum from which on a pixel belongs to the path ...
_PART = 0.2  # ... if the pixels connected to it weigh this share of the heaviest ones
_GAMMA = 2.2
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)
_DIRECTIONS = np.arange(16) * np.pi / 16  # the widest is within 0.5 % of the diameter


def severity_of(extent: float, size: Tuple[int, int]) -> str:
    """Name the severity of a blur; beyond all ranges it is the nearest one's.

    Args:
        extent: Diameter of a point's path, in pixels.
        size: Height and width of the image.
    """
    share = extent / math.sqrt(size[0] * size[1])
    return next((name for name, (_, high) in SEVERITIES.items() if share <= high), 'severe')


def measure_extent(blurry: np.ndarray, sharp: np.ndarray) -> float:
    """Measure how far the blur of one photo of a pair extends.

    In each textured patch, the kernel that turns the sharp one into the blurry one is estimated in
    linear light by regularized least squares (a Wiener filter). It needs no model of the motion,
    and a shift or a change of brightness is no blur to it. The diameter of the kernel, less what
    the estimate itself widens, is the extent there, and the median over the patches the photo's:
    objects that move on their own hardly count. Where a point stands still most of the time, the
    faint rest of its path may be missed.

    Args:
        blurry: RGB, uint8, shape (H, W, 3).
        sharp: Likewise, of the same size.

    Returns:
        Diameter of a point's path, in pixels, the median over the photo; NaN where the photos do
        not show it: too little texture, or no blur that turns one into the other.

    Raises:
        UserError: The photos are not uint8 RGB of one size.
    """
    for photo in (blurry, sharp):
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
            raise UserError(
                f'severity is measured on RGB uint8 of shape (H, W, 3), not on {photo.dtype} of '
                f'{photo.shape}'
            )
    if blurry.shape != sharp.shape:
        raise UserError(
            f'the blurry photo is {blurry.shape[1]}x{blurry.shape[0]} but the sharp one is '
            f'{sharp.shape[1]}x{sharp.shape[0]}: do not crop or resize one alone'
        )
    light, target = _light(sharp), _light(blurry)
    side = min(*light.shape, max(_MIN_SIDE, round(_PATCH * math.sqrt(light.size))))
    window = np.hanning(side + 2)[1:-1].astype(np.float32)
    window = np.outer(window, window)
    extents = []
    if side >= _MIN_SIDE:
        estimates = (_extent(target[p], light[p], window) for p in _patches(light.shape, side))
        extents = [extent for extent in estimates if extent is not None]
    agreeing = np.isfinite(extents).sum() >= max(1, _AGREEING * len(extents))
    return float(np.nanmedian(extents)) if agreeing else math.nan


def _light(photo: np.ndarray) -> np.ndarray:
    """Return the linear luminance of a photo, 1 for white, float32, shape (H, W)."""
    curve = ((np.arange(256) / 255) ** _GAMMA).astype(np.float32)
    return cv2.transform(cv2.LUT(photo, curve), _LUMA)


def _patches(size: Tuple[int, ...], side: int) -> Iterator[Tuple[slice, slice]]:
    """Return squares that cover an image evenly, neighbors overlapping by half at least."""
    starts = []
    for length in size:
        count = math.ceil((length - side) / (side / 2)) + 1
        starts.append(np.linspace(0, length - side, count).round().astype(int))
    for top, left in itertools.product(*starts):
        yield np.s_[top : top + side, left : left + side]


def _extent(blurry: np.ndarray, sharp: np.ndarray, window: np.ndarray) -> Optional[float]:
    """Estimate the extent in a patch, in pixels.

    Returns:
        ``None`` where the patch has too little texture, NaN where no kernel explains it.
    """
    blurry, sharp = (
        (patch - np.average(patch, weights=window)) * window for patch in (blurry, sharp)
    )
    spectrum = np.fft.rfft2(sharp)
    power = np.abs(spectrum) ** 2
    regularized = power + _NOISE * np.sum(window**2)
    if np.mean(power / regularized) < _VISIBLE:
        return None
    transfer = np.conj(spectrum) * np.fft.rfft2(blurry) / regularized
    kernel = np.fft.fftshift(np.fft.irfft2(transfer, sharp.shape))
    path = _path(kernel)
    explained = np.fft.irfft2(np.fft.rfft2(np.fft.ifftshift(kernel * path)) * spectrum, sharp.shape)
    if np.sum((blurry - explained) ** 2) >= (1 - _EXPLAINED) * np.sum(blurry**2):
        return math.nan
    extent = _diameter(path)
    # a kernel is periodic in its patch: what fills half of it is none
    if extent > len(window) / 2:
        return math.nan
    # what the same estimate makes of a photo that is not blurred
    unblurred = np.fft.fftshift(np.fft.irfft2(power / regularized, sharp.shape))
    return math.sqrt(max(0, extent**2 - _diameter(_path(unblurred)) ** 2))


def _path(kernel: np.ndarray) -> np.ndarray:
    """Find the pixels of a kernel that are no noise; a mask."""
    _, parts = cv2.connectedComponents((kernel > _ABOVE * kernel.max()).astype(np.uint8))
    weights = np.bincount(parts.ravel(), kernel.ravel())
    weights[0] = 0  # the background
    return (weights >= _PART * weights.max())[parts]


def _diameter(path: np.ndarray) -> float:
    """Return the diameter of a mask in pixels, from center to center."""
    y, x = np.nonzero(path)
    along = np.outer(np.cos(_DIRECTIONS), x) + np.outer(np.sin(_DIRECTIONS), y)
    return float(np.ptp(along, axis=1).max())
