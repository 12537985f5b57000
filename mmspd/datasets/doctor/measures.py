"""What two images say of each other: which is sharper, are they aligned, is it one scene."""

from typing import NamedTuple, Optional, Tuple

import cv2
import numpy as np

__all__ = ['EXPONENTS', 'DetailMeasures', 'PairMeasures', 'measure_pair']

#: Exponents at which the brightness of a pair is compared; 1 is as coded, 2.2 linear light.
EXPONENTS = np.linspace(0.4, 4, 37)

_POWERS = (np.arange(256) / 255) ** EXPONENTS[:, None]  # (exponents, 256)
_LONG_SIDE = 640  # images are reduced to it; blur and shifts of interest survive
_MIN_SIDE = 160  # in smaller images unrelated scenes look alike too often
_MIN_TEXTURE = 0.02  # standard deviation of the details; below there is nothing to align
_DETAIL = 8.0  # sigma that separates details from shading, in reduced pixels
_REGULARIZATION = 0.01  # of the spectrum's mean power
_SUPPORT = 0.25  # of the kernel's peak; smaller values are noise


class DetailMeasures(NamedTuple):
    """How the details of a pair compare.

    Args:
        sharpness: Gradient energy of the blurry image over that of the sharp one; 1 is equal.
        shift: Displacement (x, y) of the blurry image against the sharp one, in pixels.
        excess: Length of the shift by the spread of the blur, both in reduced pixels.
        relation: How surely both show the same scene; see :func:`measure_pair`.
    """

    sharpness: float
    shift: Tuple[float, float]
    excess: float
    relation: float


class PairMeasures(NamedTuple):
    """Measures of a pair.

    Args:
        brightening: Mean of (blurry ** p - sharp ** p) for each p of ``EXPONENTS``, on [0, 1].
        details: ``None`` where the images are too small or too smooth to compare them.
    """

    brightening: Tuple[float, ...]
    details: Optional[DetailMeasures] = None


def measure_pair(blurry: np.ndarray, sharp: np.ndarray) -> PairMeasures:
    """Compare a blurry image with its sharp one.

    One kernel that turns the sharper image's details into the other's is estimated by regularized
    division of the spectra. Its centroid is the shift; blur alone keeps it within the spread of the
    kernel. Unrelated images give a kernel of noise without a peak: the relation is the height of
    the peak over the standard deviation, times the largest normalized cross-correlation.

    Args:
        blurry: RGB, uint8, shape (H, W, 3).
        sharp: As the blurry one, of the same size.
    """
    counts = [np.bincount(image.ravel(), minlength=256) for image in (blurry, sharp)]
    brightening = tuple((_POWERS @ (counts[0] - counts[1]) / blurry.size).tolist())
    nothing = PairMeasures(brightening)
    scale = max(1.0, max(blurry.shape) / _LONG_SIDE)
    grays = [_reduced_gray(image, scale) for image in (blurry, sharp)]
    if min(grays[0].shape) < _MIN_SIDE:
        return nothing
    energies = [_gradient_energy(gray) for gray in grays]
    details = [gray - cv2.GaussianBlur(gray, (0, 0), _DETAIL) for gray in grays]
    sign = 1
    if energies[0] > energies[1]:  # exchanged; a kernel that sharpens has no shape
        details, sign = details[::-1], -1
    if details[1].std() < _MIN_TEXTURE:
        return nothing
    (x, y), spread, relation = _kernel_of(*details)
    sharpness, excess = energies[0] / max(energies[1], 1e-12), float(np.hypot(x, y) / (1 + spread))
    shift = sign * scale * x, sign * scale * y
    return PairMeasures(brightening, DetailMeasures(sharpness, shift, excess, relation))


def _reduced_gray(image: np.ndarray, scale: float) -> np.ndarray:
    """Return an image in gray, float32 on [0, 1], with sides reduced by the scale."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    if scale == 1:
        return gray
    size = [max(1, round(side / scale)) for side in gray.shape[::-1]]
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA)


def _gradient_energy(gray: np.ndarray) -> float:
    """Return the mean square of the gradient, smoothed as noise is no sharpness."""
    smooth = cv2.GaussianBlur(gray, (0, 0), 1)
    return float(sum((np.diff(smooth, axis=axis) ** 2).mean() for axis in (0, 1)))


def _kernel_of(blurry: np.ndarray, sharp: np.ndarray) -> Tuple[Tuple[float, float], float, float]:
    """Estimate the kernel between two images' details: centroid (x, y), spread and relation."""
    height, width = blurry.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    blurry, sharp = blurry * window, sharp * window
    spectrum = np.fft.rfft2(sharp)
    cross = np.fft.rfft2(blurry) * spectrum.conj()
    power = np.abs(spectrum) ** 2
    raw = np.fft.irfft2(cross / (power + _REGULARIZATION * power.mean()), blurry.shape)
    kernel = cv2.GaussianBlur(np.fft.fftshift(raw), (0, 0), 1)
    norm = np.linalg.norm(blurry) * np.linalg.norm(sharp)
    correlation = np.fft.irfft2(cross, blurry.shape).max() / max(norm, 1e-12)
    relation = kernel.max() / max(np.abs(kernel).std(), 1e-12) * correlation
    mass = np.maximum(kernel - _SUPPORT * kernel.max(), 0)
    mass /= max(mass.sum(), 1e-12)
    y, x = (np.arange(side) - side // 2 for side in (height, width))
    center = float(mass.sum(0) @ x), float(mass.sum(1) @ y)
    variance = mass.sum(0) @ (x - center[0]) ** 2 + mass.sum(1) @ (y - center[1]) ** 2
    return center, float(np.sqrt(variance)), float(relation)
