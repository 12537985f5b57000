"""Crops of a pair that prefer severe blur."""

from typing import Any, Dict, List

import numpy as np
from mmcv.transforms import BaseTransform

from mmspd.datasets.blur.exposure import Box
from mmspd.errors import UserError
from mmspd.registry import TRANSFORMS

__all__ = ['SevereCrop', 'crop_severity', 'random_boxes']

_LINES = 32  # of a crop are looked at


@TRANSFORMS.register_module()
class SevereCrop(BaseTransform):
    """MMagic's ``PairedRandomCrop`` with a preference for the severely blurred parts of a pair.

    Draws several crops and keeps one, with a probability in proportion to its
    :func:`crop_severity` to the power of ``preference``. Replaces ``img`` and ``gt`` by copies of
    the crop; nothing else of them is read.

    Args:
        gt_patch_size: Side of the crop in pixels.
        candidates: Crops to choose from; 1 is a uniform random crop.
        preference: 2 keeps a crop in about the proportion of its blur's extent, 0 is a uniform
            random crop, more is more selective.

    Raises:
        UserError: A value is out of its range, or an image is smaller than the crop.
    """

    def __init__(self, gt_patch_size: int, candidates: int = 4, preference: float = 2.0) -> None:
        if candidates < 1 or preference < 0:
            raise UserError(
                f'SevereCrop needs at least 1 candidate and a preference of at least 0, not '
                f'candidates={candidates} and preference={preference}'
            )
        self.gt_patch_size = gt_patch_size
        self.candidates = candidates
        self.preference = preference

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Crop ``img`` and ``gt`` at the same place."""
        blurry, sharp = results['img'], results['gt']
        boxes = random_boxes(results, self.gt_patch_size, self.candidates)
        severities = [crop_severity(box.of(blurry), box.of(sharp)) for box in boxes]
        weights = np.array(severities) ** self.preference
        box = boxes[np.random.choice(len(boxes), p=weights / weights.sum())]
        results['img'], results['gt'] = box.of(blurry).copy(), box.of(sharp).copy()
        return results


def crop_severity(blurry: np.ndarray, sharp: np.ndarray) -> float:
    """Compare the blurry image's error with the texture there was to lose.

    It is the mean absolute error divided by the mean absolute difference between neighboring
    pixels of the sharp image, on some lines of the crop. On natural photos it grows about as the
    square root of the blur's extent, from 0.2 at 2 pixels to 0.7 at 16.

    Args:
        blurry: RGB, uint8, shape (H, W, 3).
        sharp: As ``blurry``.

    Returns:
        A positive number.
    """
    every = max(len(sharp) // _LINES, 1)
    lines = sharp[:-1:every].astype(np.int16)
    below = sharp[1::every]
    error = np.abs(blurry[:-1:every] - lines).mean()
    texture = np.abs(np.diff(lines, axis=1)).mean() + np.abs(below - lines).mean()
    # both offsets are about the noise of a good photo: where there is nothing else, nothing is seen
    return float((error + 0.1) / (texture + 2))


def random_boxes(results: Dict[str, Any], size: int, count: int = 1) -> List[Box]:
    """Draw square crops of ``gt``, uniformly by ``numpy.random``.

    Args:
        results: A sample; ``gt_path`` is named in the error.
        size: Side in pixels.
        count: Number of crops.

    Raises:
        UserError: The image is smaller than the crop.
    """
    height, width = results['gt'].shape[:2]
    if min(height, width) < size:
        raise UserError(
            f"'{results['gt_path']}' is {width}x{height}, smaller than the training crop of {size} "
            "pixels: lower the pipeline's gt_patch_size or remove the image"
        )
    tops = np.random.randint(height - size + 1, size=count)
    lefts = np.random.randint(width - size + 1, size=count)
    return [Box(left, top, left + size, top + size) for left, top in zip(lefts, tops)]
