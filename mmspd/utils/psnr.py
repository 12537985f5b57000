"""The peak signal-to-noise ratio (PSNR) of two images."""

import numpy as np

__all__ = ['psnr']


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the peak signal-to-noise ratio 10 log10(255^2 / MSE).

    The mean squared error (MSE) is taken over all pixels and channels.

    Args:
        first: Image ``(H, W, 3)``, uint8.
        second: Image of the same shape, uint8.

    Returns:
        The PSNR in dB; infinite for equal images.

    Examples:
        >>> import numpy as np
        >>> from mmspd.utils.psnr import psnr
        >>> sharp = np.full((8, 8, 3), 100, np.uint8)
        >>> round(psnr(sharp + np.uint8(10), sharp), 2)
        28.13
        >>> psnr(sharp, sharp)
        inf
    """
    difference = first.astype(np.float64) - second
    error = np.mean(difference * difference)
    return float(10 * np.log10(255.0**2 / error)) if error > 0 else float('inf')
