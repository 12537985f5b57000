"""Compare two images: sharpness, alignment, and whether they show the same scene."""

from typing import NamedTuple, Optional, Tuple

import cv2
import numpy as np

__all__ = ['EXPONENTS', 'DetailMeasures', 'PairMeasures', 'measure_pair']

#: Exponents for the comparison of brightness. 1 compares pixel values, 2.2 compares linear light.
EXPONENTS = np.linspace(0.4, 4, 37)

_POWERS = (np.arange(256) / 255) ** EXPONENTS[:, None]  # (exponents, 256)
_LONG_SIDE = 640  # larger images are reduced; relevant blurs and shifts remain visible
_MIN_SIDE = 160  # smaller images seem related too often
_MIN_TEXTURE = 0.02  # standard deviation of the details; smoother images cannot be aligned
_DETAIL = 8.0  # sigma of the high-pass filter for details, in pixels of the reduced image
_REGULARIZATION = 0.01  # share of the mean power of the spectrum
_SUPPORT = 0.25  # share of the peak of the kernel; smaller values are noise


class DetailMeasures(NamedTuple):
    """Comparison of the details of a pair.

    Attributes:
        sharpness: Gradient energy of the blurry image, divided by the energy of the sharp image.
        shift: Displacement ``(x, y)`` of the blurry image relative to the sharp image, in pixels.
        excess: Length of the shift / (1 + spread of the blur kernel); see :func:`measure_pair`. The
            longer side of the images is first reduced to at most 640 pixels. Length and spread are
            in pixels of the reduced images.
        relation: A number that is high if both images show the same scene; see
            :func:`measure_pair`.
    """

    sharpness: float
    shift: Tuple[float, float]
    excess: float
    relation: float


class PairMeasures(NamedTuple):
    """Measures of a pair.

    Attributes:
        brightening: Mean of (blurry ** p - sharp ** p) for each p of ``EXPONENTS``, with pixel
            values in [0, 1].
        details: Comparison of the details; ``None`` if the images are too small or too smooth.
    """

    brightening: Tuple[float, ...]
    details: Optional[DetailMeasures] = None


def measure_pair(blurry: np.ndarray, sharp: np.ndarray) -> PairMeasures:
    """Compare a blurry image with its sharp image.

    A regularized division of the spectra estimates the kernel that maps the details of the sharper
    image to the details of the other image. The shift is the centroid of the kernel. If the images
    are blurred but not displaced, the centroid is within the spread of the kernel. For unrelated
    images, the kernel is noise without a peak. ``relation`` is the product of two numbers. The
    first number is the height of the peak, divided by the standard deviation of the absolute
    kernel. The second number is the maximum of the normalized cross-correlation.

    Args:
        blurry: RGB, uint8, shape ``(H, W, 3)``.
        sharp: RGB, uint8, shape ``(H, W, 3)``.

    Returns:
        The measures.

    Examples:
        >>> import cv2
        >>> import numpy as np
        >>> from mmspd.datasets.doctor.measures import measure_pair
        >>> sharp = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
        >>> sharp = cv2.resize(sharp, (160, 160), interpolation=cv2.INTER_CUBIC)
        >>> details = measure_pair(cv2.blur(sharp, (7, 5)), sharp).details
        >>> details.sharpness < 1, [round(value) for value in details.shift]
        (True, [0, 0])
    """
    counts = [np.bincount(image.ravel(), minlength=256) for image in (blurry, sharp)]
    brightening = tuple((_POWERS @ (counts[0] - counts[1]) / blurry.size).tolist())
    not_compared = PairMeasures(brightening)
    scale = max(1.0, max(blurry.shape) / _LONG_SIDE)
    grays = [_reduced_gray(image, scale) for image in (blurry, sharp)]
    if min(grays[0].shape) < _MIN_SIDE:
        return not_compared
    energies = [_gradient_energy(gray) for gray in grays]
    details = [gray - cv2.GaussianBlur(gray, (0, 0), _DETAIL) for gray in grays]
    sign = 1
    if energies[0] > energies[1]:  # the images are exchanged, so exchange them here
        details, sign = details[::-1], -1
    if details[1].std() < _MIN_TEXTURE:
        return not_compared
    (x, y), spread, relation = _kernel_of(*details)
    sharpness, excess = energies[0] / max(energies[1], 1e-12), float(np.hypot(x, y) / (1 + spread))
    shift = sign * scale * x, sign * scale * y
    return PairMeasures(brightening, DetailMeasures(sharpness, shift, excess, relation))


def _reduced_gray(image: np.ndarray, scale: float) -> np.ndarray:
    """Return a gray image, float32 in [0, 1], with sides divided by the scale."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    if scale == 1:
        return gray
    size = [max(1, round(side / scale)) for side in gray.shape[::-1]]
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA)


def _gradient_energy(gray: np.ndarray) -> float:
    """Return the mean squared gradient after a slight blur, which reduces noise."""
    smooth = cv2.GaussianBlur(gray, (0, 0), 1)
    return float(sum((np.diff(smooth, axis=axis) ** 2).mean() for axis in (0, 1)))


def _kernel_of(blurry: np.ndarray, sharp: np.ndarray) -> Tuple[Tuple[float, float], float, float]:
    """Estimate the kernel that maps ``sharp`` to ``blurry``.

    Returns:
        The centroid ``(x, y)`` and the spread of the kernel, and the relation, which
        :func:`measure_pair` defines.
    """
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
