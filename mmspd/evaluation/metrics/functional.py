"""PSNR and SSIM of 8-bit RGB images as functions."""

from typing import Callable

import cv2
import numpy as np

from mmspd.errors import UserError
from mmspd.utils.psnr import psnr

__all__ = ['ROUNDINGS', 'psnr', 'ssim_2d', 'ssim_map_2d', 'ssim_matlab', 'to_uint8_rgb']

#: Ways to convert an image to 8 bits, by name.
ROUNDINGS = {'nearest': np.rint, 'truncate': np.trunc}

#: The 11-tap Gaussian window and the constants of Wang et al. (2004).
SSIM_TAPS = 11
SSIM_SIGMA = 1.5
SSIM_K1 = 0.01
SSIM_K2 = 0.03
_WINDOW = cv2.getGaussianKernel(SSIM_TAPS, SSIM_SIGMA, cv2.CV_64F)


def to_uint8_rgb(image: np.ndarray, rounding: str = 'nearest') -> np.ndarray:
    """Convert an image of an MMagic sample to the 8-bit image that is saved.

    Args:
        image: BGR, shape (3, H, W), about [0, 255], any real type.
        rounding: ``'nearest'``, or ``'truncate'`` to drop the fraction of each value.

    Returns:
        RGB, uint8, shape (H, W, 3). The values are clamped to [0, 255] and then rounded.

    Raises:
        UserError: The image contains NaN.
    """
    if np.isnan(image).any():
        raise UserError('The model predicted NaN; use another checkpoint.')
    rounded = ROUNDINGS[rounding](np.clip(image, 0, 255)).astype(np.uint8)
    return np.ascontiguousarray(rounded[::-1].transpose(1, 2, 0))


def ssim_2d(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the structural similarity of each channel as a 2-D image, averaged over channels.

    The result equals ``skimage.metrics.structural_similarity(gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=255, channel_axis=2)``. Do not compare it with
    :func:`ssim_matlab`, which returns higher values.

    Args:
        first: Image of type uint8, shape (H, W, 3), both sides at least 11.
        second: Image of the type and shape of ``first``.

    Returns:
        The mean SSIM over the windows inside the image, at most 1.

    Raises:
        UserError: The image is smaller than the window.

    Source: Wang et al., "Image Quality Assessment: From Error Visibility to Structural
    Similarity", IEEE TIP 2004.

    Examples:
        >>> import numpy as np
        >>> from mmspd.evaluation.metrics import ssim_2d, ssim_matlab
        >>> sharp = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (24, 1))
        >>> sharp = np.dstack([sharp, sharp, 255 - sharp])
        >>> blurry = (sharp // 64) * 64
        >>> round(ssim_2d(sharp, blurry), 2), round(ssim_matlab(sharp, blurry), 2)
        (0.55, 0.85)
    """
    return float(ssim_map_2d(first, second).mean())


def ssim_map_2d(first: np.ndarray, second: np.ndarray, peak: float = 255.0) -> np.ndarray:
    """Compute the structural similarity of the windows inside the image, channel by channel.

    Args:
        first: Image of any real type, shape (H, W, 3), both sides at least 11.
        second: Image of any real type and the shape of ``first``.
        peak: Value of white.

    Returns:
        The values, float64, shape (H - 10, W - 10, 3).

    Raises:
        UserError: The image is smaller than the window.
    """
    _check_size(first)
    border = SSIM_TAPS // 2

    def mean(image: np.ndarray) -> np.ndarray:
        filtered = cv2.sepFilter2D(image, cv2.CV_64F, _WINDOW, _WINDOW)
        return filtered[border:-border, border:-border]

    return _ssim_map(first, second, mean, peak)


def ssim_matlab(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the structural similarity like MATLAB's ``ssim`` on an H x W x 3 array.

    MATLAB treats the array as a volume. The window is 11 x 11 x 11. All three axes, including the
    channels, are padded with their border values. Most published deblurring tables use this
    convention. The values are higher than those of :func:`ssim_2d` on the same images.

    Args:
        first: Image of type uint8, shape (H, W, 3), both sides at least 11.
        second: Image of the type and shape of ``first``.

    Returns:
        The mean SSIM over all voxels, at most 1.

    Raises:
        UserError: The image is smaller than the window.
    """
    _check_size(first)
    # Along the channels, the window acts as a 3x3 matrix. Because of the padding, taps beyond the
    # first or last channel are added to that channel.
    taps = np.arange(SSIM_TAPS) - SSIM_TAPS // 2
    across = np.zeros((3, 3))
    for channel in range(3):
        np.add.at(across[channel], np.clip(channel + taps, 0, 2), _WINDOW[:, 0])

    def mean(image: np.ndarray) -> np.ndarray:
        mixed = cv2.transform(image, across)
        return cv2.sepFilter2D(mixed, cv2.CV_64F, _WINDOW, _WINDOW, borderType=cv2.BORDER_REPLICATE)

    return float(_ssim_map(first, second, mean, 255.0).mean())


def _check_size(image: np.ndarray) -> None:
    """Raise an error if an image is smaller than the window."""
    if min(image.shape[:2]) < SSIM_TAPS:
        raise UserError(
            f'SSIM needs images of at least {SSIM_TAPS}x{SSIM_TAPS} pixels, '
            f'not {image.shape[1]}x{image.shape[0]}; leave smaller images out of the test set.'
        )


def _ssim_map(
    first: np.ndarray,
    second: np.ndarray,
    mean: Callable[[np.ndarray], np.ndarray],
    peak: float,
) -> np.ndarray:
    """Compute the structural similarity of every window.

    Args:
        first: First image.
        second: Second image.
        mean: Function that averages an image over each window.
        peak: Value of white.

    Returns:
        One value per window and channel.
    """
    c1, c2 = (SSIM_K1 * peak) ** 2, (SSIM_K2 * peak) ** 2
    x, y = first.astype(np.float64), second.astype(np.float64)
    mean_x, mean_y = mean(x), mean(y)
    mean_xy = mean_x * mean_y
    means = mean_x * mean_x + mean_y * mean_y
    variances = mean(x * x + y * y) - means
    covariance = mean(x * y) - mean_xy
    similarity = (2 * mean_xy + c1) * (2 * covariance + c2)
    similarity /= (means + c1) * (variances + c2)
    return similarity
