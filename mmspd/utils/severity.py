"""Measure the extent of a blur on a pair of photos, and name its severity."""

import itertools
import math
from typing import Iterator, Optional, Tuple

import cv2
import numpy as np

from mmspd.errors import UserError

__all__ = ['SEVERITIES', 'measure_extent', 'severity_of', 'share_of']

#: Range of the blur extent of each severity, as a share of sqrt(H * W). At 1280x720 pixels, the
#: ranges are 5-10, 10-19 and 19-106 pixels. At 481x321 pixels, they are 2-4, 4-8 and 8-43 pixels.
#: The bounds of 1 % and 2 % separate real photos by their input PSNR; docs/evaluation.md shows the
#: measurements. The largest extent is that of the camera shakes of Levin et al.
SEVERITIES = {'mild': (0.005, 0.01), 'moderate': (0.01, 0.02), 'severe': (0.02, 0.11)}

# These values were chosen on synthesized blur of BSDS500. With them, nearly nine of ten images get
# the right severity.
_PATCH = 0.44  # side of a patch, as a share of sqrt(H * W): four times the largest severe extent
_MIN_SIDE = 32  # smallest side of a patch, in pixels; smaller patches have too little texture
_NOISE = 1e-4  # noise variance that blur does not explain, in linear light with white at 1
_VISIBLE = 0.2  # minimal share of a patch's spatial frequencies that are above the noise
_EXPLAINED = 0.5  # minimal share of a blurry patch's variance that the kernel explains
_AGREEING = 0.5  # minimal share of textured patches whose blur is explained by a kernel
_ABOVE = 0.12  # a kernel pixel belongs to the path if it is above this share of the maximum ...
_PART = 0.2  # ... and if its connected part has this share of the weight of the heaviest part
_GAMMA = 2.2
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)
_DIRECTIONS = np.arange(16) * np.pi / 16  # enough for an error of the diameter below 0.5 %


def share_of(extent: float, size: Tuple[int, int]) -> float:
    """Return the extent of a blur relative to the size of the image.

    Args:
        extent: Extent of the blur in pixels.
        size: Height and width of the image, in pixels.

    Returns:
        The extent as a share of sqrt(H * W).

    Examples:
        >>> from mmspd.utils.severity import share_of
        >>> share_of(24, size=(720, 1280))
        0.025
    """
    return extent / math.sqrt(size[0] * size[1])


def severity_of(extent: float, size: Tuple[int, int]) -> str:
    """Return the severity of a blur.

    Args:
        extent: Extent of the blur: the diameter of the path that a point draws in the image, in
            pixels.
        size: Height and width of the image, in pixels.

    Returns:
        A key of :data:`SEVERITIES`. An extent outside all ranges has the nearest severity.

    Examples:
        >>> from mmspd.utils.severity import severity_of
        >>> severity_of(24, size=(720, 1280))
        'severe'
    """
    share = share_of(extent, size)
    return next((name for name, (_, high) in SEVERITIES.items() if share <= high), 'severe')


def measure_extent(blurry: np.ndarray, sharp: np.ndarray) -> float:
    """Measure the extent of the blur of a photo with the help of its sharp counterpart.

    For each textured patch, a Wiener filter (regularized least squares) in linear light estimates
    the kernel that turns the sharp patch into the blurry patch. The filter assumes no model of the
    motion. A shift or a change of brightness does not count as blur. The extent of a patch is the
    diameter of its kernel, corrected for the width that the estimate adds. The extent of the photo
    is the median over its patches, so small moving objects hardly change it. If a point stays in
    one place most of the time, the faint remainder of its path may be missed.

    Args:
        blurry: Blurry photo ``(H, W, 3)``, RGB, uint8.
        sharp: Sharp photo of the same shape, RGB, uint8.

    Returns:
        The diameter of the path that a point draws in the blurry photo, in pixels. NaN if the
        photos have too little texture, if no blur turns the sharp photo into the blurry one, or if
        the diameter is larger than about a fifth of sqrt(H * W).

    Raises:
        UserError: The photos are not uint8 RGB, or their sizes differ.

    Examples:
        >>> import cv2
        >>> import numpy as np
        >>> from mmspd.utils.severity import measure_extent
        >>> sharp = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
        >>> blurry = cv2.blur(sharp, (9, 1))  # the path is 9 pixels long, 8 from center to center
        >>> 7 < measure_extent(blurry, sharp) < 9
        True
    """
    for photo in (blurry, sharp):
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
            raise UserError(
                f'A photo has the dtype {photo.dtype} and the shape {photo.shape}; give RGB photos '
                'of dtype uint8 and shape (H, W, 3).'
            )
    if blurry.shape != sharp.shape:
        raise UserError(
            f'The blurry photo is {blurry.shape[1]}x{blurry.shape[0]} but the sharp one is '
            f'{sharp.shape[1]}x{sharp.shape[0]}; crop or resize both in the same way.'
        )
    light, target = _light(sharp), _light(blurry)
    # a Fourier transform of another side may take three times as long
    side = cv2.getOptimalDFTSize(max(_MIN_SIDE, round(_PATCH * math.sqrt(light.size))))
    side = min(*light.shape, side)
    window = np.hanning(side + 2)[1:-1].astype(np.float32)
    window = np.outer(window, window)
    extents = []
    if side >= _MIN_SIDE:
        estimates = (_extent(target[p], light[p], window) for p in _patches(light.shape, side))
        extents = [extent for extent in estimates if extent is not None]
    agreeing = (~np.isnan(extents)).sum() >= max(1, _AGREEING * len(extents))
    median = np.nanmedian(extents) if agreeing else math.nan
    return float(median) if median < math.inf else math.nan


def _light(photo: np.ndarray) -> np.ndarray:
    """Return the linear luminance ``(H, W)`` of a photo, float32, with white at 1."""
    curve = ((np.arange(256) / 255) ** _GAMMA).astype(np.float32)
    return cv2.transform(cv2.LUT(photo, curve), _LUMA)


def _patches(size: Tuple[int, ...], side: int) -> Iterator[Tuple[slice, slice]]:
    """Yield squares that cover an image evenly; neighbors overlap by at least one half."""
    starts = []
    for length in size:
        count = math.ceil((length - side) / (side / 2)) + 1
        starts.append(np.linspace(0, length - side, count).round().astype(int))
    for top, left in itertools.product(*starts):
        yield np.s_[top : top + side, left : left + side]


def _extent(blurry: np.ndarray, sharp: np.ndarray, window: np.ndarray) -> Optional[float]:
    """Estimate the extent of the blur in a patch.

    Returns:
        The extent in pixels; infinity if it is too large to be measured; ``None`` if the patch has
        too little texture; NaN if no kernel explains the blurry patch.
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
    # the kernel is periodic in the patch, so a larger kernel is not reliable
    if extent > len(window) / 2:
        return math.inf
    # the kernel estimated without blur; its diameter is the width that the estimate adds
    unblurred = np.fft.fftshift(np.fft.irfft2(power / regularized, sharp.shape))
    return math.sqrt(max(0, extent**2 - _diameter(_path(unblurred)) ** 2))


def _path(kernel: np.ndarray) -> np.ndarray:
    """Return a mask of the kernel pixels that belong to the path of a point and not to noise."""
    _, parts = cv2.connectedComponents((kernel > _ABOVE * kernel.max()).astype(np.uint8))
    weights = np.bincount(parts.ravel(), kernel.ravel())
    weights[0] = 0  # the background
    return (weights >= _PART * weights.max())[parts]


def _diameter(path: np.ndarray) -> float:
    """Return the diameter of a mask in pixels, measured between pixel centers."""
    y, x = np.nonzero(path)
    along = np.outer(np.cos(_DIRECTIONS), x) + np.outer(np.sin(_DIRECTIONS), y)
    return float(np.ptp(along, axis=1).max())
