"""Loading a blurry image together with its sharp one."""

from typing import Any, Dict, Tuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmspd.datasets.image_io import read_rgb
from mmspd.errors import UserError
from mmspd.registry import TRANSFORMS

__all__ = ['LoadImagePair', 'LoadPhoto']


@TRANSFORMS.register_module()
class LoadImagePair(BaseTransform):
    """Load ``img`` (blurry) and ``gt`` (sharp) as RGB uint8 arrays of shape (H, W, 3).

    Reads ``img_path`` and ``gt_path``; adds ``img``, ``gt`` and what MMagic's transforms, data
    preprocessor and visualizer ask for: ``ori_{img,gt}_shape``, ``{img,gt}_channel_order``
    (``'rgb'``), ``{img,gt}_color_type`` and ``scale`` (1). The arrays are fresh at every call, for
    MMagic's ``Flip`` works in place; but those of a ``place`` in a pack are the file itself,
    read-only, which the data set copies once they are cropped.

    Raises:
        UserError: A file cannot be read, is not 8-bit color, or the two sizes differ.
    """

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Load the two images of ``results``."""
        for key, image in zip(('img', 'gt'), self._read(results)):
            _add_image(results, key, image)
        (height, width), (gt_height, gt_width) = results['img'].shape[:2], results['gt'].shape[:2]
        if (height, width) != (gt_height, gt_width):
            raise UserError(
                f"the pair differs in size: '{results['img_path']}' is {width}x{height}, "
                f"'{results['gt_path']}' is {gt_width}x{gt_height}; a pair needs equal sizes"
            )
        results['scale'] = 1
        return results

    @staticmethod
    def _read(results: Dict[str, Any]) -> Tuple[np.ndarray, np.ndarray]:
        """Return the blurry and the sharp image."""
        place = results.get('place')
        if place is not None:
            return place.images()
        blurry = read_rgb(results['img_path'])
        if results['img_path'] == results['gt_path']:  # a sharp photo, not yet blurred
            return blurry, blurry.copy()
        return blurry, read_rgb(results['gt_path'])


@TRANSFORMS.register_module()
class LoadPhoto(BaseTransform):
    """Load ``img`` alone, as :class:`LoadImagePair` does, where there is no sharp image.

    Raises:
        UserError: The file cannot be read or is not 8-bit color.
    """

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Load the photo of ``results``."""
        _add_image(results, 'img', read_rgb(results['img_path']))
        results['scale'] = 1
        return results


def _add_image(results: Dict[str, Any], key: str, image: np.ndarray) -> None:
    """Add an image with what MMagic asks to be told about it."""
    # workers are the parallelism; OpenMP threads inside each would fight over the cores
    if cv2.getNumThreads() > 1:
        cv2.setNumThreads(0)
    results[key] = image
    results[f'ori_{key}_shape'] = image.shape
    results[f'{key}_channel_order'] = 'rgb'
    results[f'{key}_color_type'] = 'color'
