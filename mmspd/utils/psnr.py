"""The peak signal-to-noise ratio, which metrics and the measure of severity share."""

import numpy as np

__all__ = ['psnr']


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
