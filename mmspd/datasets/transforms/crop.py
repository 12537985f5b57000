"""Random crops of a pair that prefer severely blurred areas."""

from typing import Any, Dict, List

import numpy as np
from mmcv.transforms import BaseTransform

from mmspd.datasets.blur.exposure import Box
from mmspd.errors import UserError
from mmspd.registry import TRANSFORMS

__all__ = ['SevereCrop', 'crop_severity', 'random_boxes']

_LINES = 32  # number of rows of a crop that crop_severity reads


@TRANSFORMS.register_module()
class SevereCrop(BaseTransform):
    """MMagic's ``PairedRandomCrop`` with a preference for severely blurred areas.

    Draws several crops and keeps one. The probability of a crop is proportional to
    :func:`crop_severity` to the power of ``preference``. ``img`` and ``gt`` become copies of the
    crop.

    Args:
        gt_patch_size: Side of the crop in pixels.
        candidates: Number of crops to choose from, at least 1. With 1 the crop is uniformly random.
        preference: Exponent of the severity, at least 0. With 0 the crop is uniformly random. With
            2 the probability is roughly proportional to the extent of the blur. Larger values make
            severely blurred crops more probable.

    Raises:
        UserError: A value is out of its range, or an image is smaller than the crop.

    Examples:
        >>> import numpy as np
        >>> from mmspd.datasets import SevereCrop
        >>> sharp = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
        >>> crop = SevereCrop(gt_patch_size=32, candidates=4, preference=2)
        >>> sample = crop(dict(img=sharp // 2, gt=sharp, gt_path='sharp.png'))
        >>> sample['img'].shape, sample['gt'].shape
        ((32, 32, 3), (32, 32, 3))
    """

    def __init__(self, gt_patch_size: int, candidates: int = 4, preference: float = 2.0) -> None:
        if candidates < 1 or preference < 0:
            raise UserError(
                f'SevereCrop got candidates={candidates} and preference={preference}; give at '
                'least 1 candidate and a preference of at least 0.'
            )
        self.gt_patch_size = gt_patch_size
        self.candidates = candidates
        self.preference = preference

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Crop ``img`` and ``gt`` at the same position.

        Args:
            results: A sample with ``img``, ``gt`` and ``gt_path``.

        Returns:
            The sample with the crops.
        """
        blurry, sharp = results['img'], results['gt']
        boxes = random_boxes(results, self.gt_patch_size, self.candidates)
        severities = [crop_severity(box.of(blurry), box.of(sharp)) for box in boxes]
        weights = np.array(severities) ** self.preference
        box = boxes[np.random.choice(len(boxes), p=weights / weights.sum())]
        results['img'], results['gt'] = box.of(blurry).copy(), box.of(sharp).copy()
        return results


def crop_severity(blurry: np.ndarray, sharp: np.ndarray) -> float:
    """Estimate the severity of the blur of a crop.

    The severity is the mean absolute error of the blurry image, divided by the mean absolute
    difference between neighboring pixels of the sharp image. The error and the difference are
    measured on some rows of the crop. On natural photos the severity grows roughly as the square
    root of the extent of the blur, from 0.2 at 2 pixels to 0.7 at 16 pixels.

    Args:
        blurry: RGB, uint8, shape ``(H, W, 3)``.
        sharp: RGB, uint8, shape ``(H, W, 3)``.

    Returns:
        A positive, dimensionless number.
    """
    every = max(len(sharp) // _LINES, 1)
    lines = sharp[:-1:every].astype(np.int16)
    below = sharp[1::every]
    error = np.abs(blurry[:-1:every] - lines).mean()
    texture = np.abs(np.diff(lines, axis=1)).mean() + np.abs(below - lines).mean()
    # the offsets 0.1 and 2 are close to the noise of a good photo; they give flat areas a low
    # severity
    return float((error + 0.1) / (texture + 2))


def random_boxes(results: Dict[str, Any], size: int, count: int = 1) -> List[Box]:
    """Draw uniformly random square crops of ``gt`` with ``numpy.random``.

    Args:
        results: A sample with ``gt`` and ``gt_path``.
        size: Side of the crops in pixels.
        count: Number of crops.

    Returns:
        The boxes of the crops.

    Raises:
        UserError: The image is smaller than the crop.
    """
    height, width = results['gt'].shape[:2]
    if min(height, width) < size:
        raise UserError(
            f"'{results['gt_path']}' is {width}x{height} pixels, smaller than the training crop of "
            f'{size}; lower gt_patch_size in the pipeline or leave the image out.'
        )
    tops = np.random.randint(height - size + 1, size=count)
    lefts = np.random.randint(width - size + 1, size=count)
    return [Box(left, top, left + size, top + size) for left, top in zip(lefts, tops)]
