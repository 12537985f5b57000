"""PSNR and SSIM of a pair that is aligned first, as the RealBlur benchmark defines them."""

from typing import NamedTuple, Tuple

import cv2
import numpy as np

from mmspd.evaluation.metrics.functional import SSIM_TAPS, ssim_map_2d

__all__ = ['AlignedScores', 'aligned_scores']

_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 0.0)
_GAUSSIAN_TAPS = 5


class AlignedScores(NamedTuple):
    """What an aligned pair measures.

    Args:
        psnr: In dB.
        ssim: 2-D, at most 1.
        failed: Whether no alignment was found, so that the pair was compared as it is.
    """

    psnr: float
    ssim: float
    failed: bool


def aligned_scores(restored: np.ndarray, sharp: np.ndarray) -> AlignedScores:
    """Compare images up to brightness and a homography.

    The restored image is scaled to the sharp one by least squares, then warped by the homography
    of highest correlation (``cv2.findTransformECC``); what it does not cover is left out. The
    numbers move with OpenCV's versions by some 0.01 dB.

    Args:
        restored: RGB, uint8, shape (H, W, 3), both sides at least 11.
        sharp: Likewise, same shape.

    Returns:
        The scores. Where the search does not converge, or ends outside the image, nothing is
        warped.

    Raises:
        UserError: The images are smaller than SSIM's window.

    Source: the evaluation script of Rim et al., "Real-World Blur Dataset for Learning and
    Benchmarking Deblurring Algorithms", ECCV 2020.
    """
    image, target = (np.float32(1 / 255) * each.astype(np.float32) for each in (restored, sharp))
    energy = np.sum(image * image, dtype=np.float64)
    if energy > 0:
        image *= np.float32(np.sum(image * target, dtype=np.float64) / energy)
    border = SSIM_TAPS // 2
    homography, failed = _find_homography(image, target)
    image_there, mask = _warp(image, homography)
    if not mask[border:-border, border:-border].any():
        failed, (image_there, mask) = True, _warp(image, np.eye(3, dtype=np.float32))
    image, target = image_there * mask, target * mask
    error = np.sum((image - target) ** 2, dtype=np.float64) / np.sum(mask, dtype=np.float64) / 3
    similarity = ssim_map_2d(image, target, peak=1.0)
    inner = mask[border:-border, border:-border]
    ssim = np.sum(similarity * inner) / np.sum(inner, dtype=np.float64) / 3
    return AlignedScores(float(-10 * np.log10(error)) if error else np.inf, float(ssim), failed)


def _find_homography(image: np.ndarray, target: np.ndarray) -> Tuple[np.ndarray, bool]:
    """Find where the pixels of the target are in the image; the identity where it fails."""
    gray = [cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (target, image)]
    start = np.eye(3, dtype=np.float32)
    try:
        _, homography = cv2.findTransformECC(  # type: ignore[call-overload]  # its stub wants a mask
            *gray, start, cv2.MOTION_HOMOGRAPHY, _CRITERIA, None, _GAUSSIAN_TAPS
        )
    except cv2.error as error:
        if error.code != cv2.Error.StsNoConv:
            raise
        return np.eye(3, dtype=np.float32), True  # the start was changed on the way
    return homography, False


def _warp(image: np.ndarray, homography: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Warp an image, and a mask of shape (H, W, 1) that is 1 where it comes from inside."""
    size = image.shape[1::-1]
    warped = cv2.warpPerspective(
        image,
        homography,
        size,
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    mask = cv2.warpPerspective(
        np.ones(image.shape[:2], np.float32),
        homography,
        size,
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    return warped, mask[..., None]
