"""How severe a blur is, by its extent, and how to measure it on a pair of photos."""

import itertools
import math
from typing import Iterator, NamedTuple, Tuple

import cv2
import numpy as np

from mmspd.errors import UserError
from mmspd.utils.psnr import psnr

__all__ = ['SEVERITIES', 'Severity', 'measure_severity', 'severity_of']

#: Range of the blur extent by severity, as a share of sqrt(H * W): at 1280x720 pixels 8-15, 15-31
#: and 31-61 pixels, at 481x321 3-6, 6-13 and 13-25.
SEVERITIES = {'mild': (0.008, 0.016), 'moderate': (0.016, 0.032), 'severe': (0.032, 0.064)}

# The values below were chosen on synthesised blur of BSDS500, where they give the right severity
# to nine images of ten; none is critical.
_PATCH = 0.25  # side of a patch, as a share of sqrt(H * W): four times the most severe extent
_SMALLEST_PATCH = 32  # pixels; smaller ones say too little
_NOISE = 1e-4  # variance in linear light (white is 1) that the blur has to explain the rest of
_VISIBLE = 0.2  # share of the spatial frequencies of which the sharp patch shows enough
_EXPLAINED = 0.5  # share of the blurry patch's variance that the kernel explains
_SUPPORT = 0.1  # share of the kernel's maximum from which on a pixel belongs to the path
_GAMMA = 2.2
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)
_DIRECTIONS = np.arange(16) * np.pi / 16  # the widest is within 0.5 % of the diameter


class Severity(NamedTuple):
    """What a pair tells about its blur.

    Args:
        psnr: PSNR of the blurry photo against the sharp one, in dB; infinite for equal photos.
        extent: Diameter of a point's path, in pixels, the median over the photo; NaN where the
            photos do not show it: too little texture, or no blur that turns one into the other.
    """

    psnr: float
    extent: float


def severity_of(extent: float, size: Tuple[int, int]) -> str:
    """Name the severity of a blur; beyond all ranges it is the nearest one's.

    Args:
        extent: Diameter of a point's path, in pixels.
        size: Height and width of the image.
    """
    share = extent / math.sqrt(size[0] * size[1])
    return next((name for name, (_, high) in SEVERITIES.items() if share <= high), 'severe')


def measure_severity(blurry: np.ndarray, sharp: np.ndarray) -> Severity:
    """Measure how severely one photo of a pair is blurred.

    In each textured patch the kernel that turns the sharp one into the blurry one is estimated in
    linear light by regularised least squares (a Wiener filter), which needs no model of the motion
    and takes a shift, a change of brightness and noise for what they are. The diameter of the
    kernel's main part is the extent there, and the median over the patches is the photo's, so that
    objects that move on their own do not count.

    Args:
        blurry: RGB, uint8, shape (H, W, 3).
        sharp: Likewise, of the same size.

    Returns:
        The PSNR in dB and the extent in pixels.

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
    side = min(*light.shape, max(_SMALLEST_PATCH, round(_PATCH * math.sqrt(light.size))))
    window = np.hanning(side + 2)[1:-1].astype(np.float32)
    window = np.outer(window, window)
    extents = [
        _extent(target[patch], light[patch], window) for patch in _patches(light.shape, side)
    ]
    known = [extent for extent in extents if not math.isnan(extent)]
    return Severity(psnr(blurry, sharp), float(np.median(known)) if known else math.nan)


def _light(photo: np.ndarray) -> np.ndarray:
    """Return the linear luminance of a photo, 1 for white, float32, shape (H, W)."""
    curve = ((np.arange(256) / 255) ** _GAMMA).astype(np.float32)
    return cv2.transform(cv2.LUT(photo, curve), _LUMA)


def _patches(size: Tuple[int, ...], side: int) -> Iterator[Tuple[slice, slice]]:
    """Return squares that cover an image evenly, neighbours overlapping by half at least."""
    starts = []
    for length in size:
        count = math.ceil((length - side) / (side / 2)) + 1
        starts.append(np.linspace(0, length - side, count).round().astype(int))
    for top, left in itertools.product(*starts):
        yield np.s_[top : top + side, left : left + side]


def _extent(blurry: np.ndarray, sharp: np.ndarray, window: np.ndarray) -> float:
    """Estimate the extent in a patch, in pixels; NaN where the patch does not show it."""
    blurry, sharp = (
        (patch - np.average(patch, weights=window)) * window for patch in (blurry, sharp)
    )
    spectrum = np.fft.rfft2(sharp)
    power = np.abs(spectrum) ** 2
    regularised = power + _NOISE * np.sum(window**2)
    if np.mean(power / regularised) < _VISIBLE:
        return math.nan
    transfer = np.conj(spectrum) * np.fft.rfft2(blurry) / regularised
    kernel = np.fft.fftshift(np.fft.irfft2(transfer, sharp.shape))
    kernel[~_main_part(kernel)] = 0
    explained = np.fft.irfft2(np.fft.rfft2(np.fft.ifftshift(kernel)) * spectrum, sharp.shape)
    if np.sum((blurry - explained) ** 2) > (1 - _EXPLAINED) * np.sum(blurry**2):
        return math.nan
    y, x = np.nonzero(kernel)
    along = np.outer(np.cos(_DIRECTIONS), x) + np.outer(np.sin(_DIRECTIONS), y)
    return float(np.ptp(along, axis=1).max())


def _main_part(kernel: np.ndarray) -> np.ndarray:
    """Find the connected pixels well above zero that weigh the most; a mask."""
    above = (kernel > _SUPPORT * kernel.max()).astype(np.uint8)
    _, parts = cv2.connectedComponents(above)
    weights = np.bincount(parts.ravel(), kernel.ravel())
    return parts == 1 + np.argmax(weights[1:])
