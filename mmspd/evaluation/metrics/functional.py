"""PSNR and SSIM of 8-bit RGB images, as plain functions."""

import cv2
import numpy as np

from mmspd.errors import UserError

__all__ = ['psnr', 'ssim_2d', 'to_uint8_rgb']

#: Wang et al.: an 11-tap Gaussian window of standard deviation 1.5, K1 = 0.01, K2 = 0.03.
SSIM_TAPS = 11
SSIM_SIGMA = 1.5
SSIM_C1 = (0.01 * 255) ** 2
SSIM_C2 = (0.03 * 255) ** 2


def to_uint8_rgb(image: np.ndarray) -> np.ndarray:
    """Turn an image as MMagic hands it to metrics into what a user would save and compare.

    Args:
        image: BGR, shape (3, H, W), nominally in [0, 255], any real type.

    Returns:
        RGB, uint8, shape (H, W, 3): clamped to [0, 255] and rounded.

    Raises:
        UserError: The image holds NaN, which no rounding can hide.
    """
    if np.isnan(image).any():
        raise UserError('the model predicted NaN: its weights are broken, take another checkpoint')
    rounded = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(rounded[::-1].transpose(1, 2, 0))


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio, 10 log10(255^2 / MSE) in dB, over all pixels and channels.

    Args:
        first: uint8, shape (H, W, 3).
        second: Likewise, same shape.

    Returns:
        The PSNR in dB; infinite for equal images.
    """
    difference = first.astype(np.float64) - second
    error = np.mean(difference * difference)
    return float(10 * np.log10(255.0**2 / error)) if error > 0 else float('inf')


def ssim_2d(first: np.ndarray, second: np.ndarray) -> float:
    """Structural similarity of each channel as a 2-D image, averaged over channels.

    Equals ``skimage.metrics.structural_similarity(gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=255, channel_axis=2)``. Not comparable with MATLAB's
    ``ssim`` on an H x W x 3 array, which filters across the channels too and gives higher values.

    Args:
        first: uint8, shape (H, W, 3), both sides at least 11.
        second: Likewise, same shape.

    Returns:
        The mean SSIM over the windows that lie within the image, at most 1.

    Raises:
        UserError: The image is smaller than the window.

    Source: Wang et al., "Image Quality Assessment: From Error Visibility to Structural
    Similarity", IEEE TIP 2004.
    """
    if min(first.shape[:2]) < SSIM_TAPS:
        raise UserError(
            f'SSIM needs images of at least {SSIM_TAPS}x{SSIM_TAPS} pixels, '
            f'not {first.shape[1]}x{first.shape[0]}: remove them from the test set'
        )
    window = cv2.getGaussianKernel(SSIM_TAPS, SSIM_SIGMA, cv2.CV_64F)
    border = SSIM_TAPS // 2

    def mean(image: np.ndarray) -> np.ndarray:
        filtered = cv2.sepFilter2D(image, cv2.CV_64F, window, window)
        return filtered[border:-border, border:-border]

    x, y = first.astype(np.float64), second.astype(np.float64)
    mean_x, mean_y = mean(x), mean(y)
    mean_xx, mean_yy, mean_xy = mean_x * mean_x, mean_y * mean_y, mean_x * mean_y
    variances = mean(x * x) - mean_xx + mean(y * y) - mean_yy
    covariance = mean(x * y) - mean_xy
    similarity = (2 * mean_xy + SSIM_C1) * (2 * covariance + SSIM_C2)
    similarity /= (mean_xx + mean_yy + SSIM_C1) * (variances + SSIM_C2)
    return float(similarity.mean())
