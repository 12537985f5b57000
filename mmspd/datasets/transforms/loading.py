"""Load a pair of images, or a single photo."""

from typing import Any, Dict, Tuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmspd.datasets.image_io import read_rgb
from mmspd.datasets.photo_io import as_rgb, read_photo
from mmspd.errors import UserError
from mmspd.registry import TRANSFORMS

__all__ = ['LoadImagePair', 'LoadPhoto']


@TRANSFORMS.register_module()
class LoadImagePair(BaseTransform):
    """Loads ``img`` (blurry) and ``gt`` (sharp) as RGB uint8 arrays of shape ``(H, W, 3)``.

    Reads the files ``img_path`` and ``gt_path``. Adds ``img`` and ``gt``, and the keys that MMagic
    needs: ``ori_{img,gt}_shape``, ``{img,gt}_channel_order`` (``'rgb'``), ``{img,gt}_color_type``
    and ``scale`` (1). The arrays are new in every call, because MMagic's ``Flip`` modifies them.
    If ``place`` names a pack, the arrays are read-only views of the pack; the dataset copies them
    after the crop.

    Raises:
        UserError: A file cannot be read or is not 8-bit color, or the sizes of the images differ.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from mmspd.datasets import LoadImagePair
        >>> from mmspd.datasets.image_io import write_png
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     paths = {key: f'{folder}/{key}.png' for key in ('img_path', 'gt_path')}
        ...     for path in paths.values():
        ...         write_png(Path(path), np.zeros((32, 48, 3), np.uint8))
        ...     sample = LoadImagePair()(paths)
        >>> sample['img'].shape, sample['gt_channel_order'], sample['scale']
        ((32, 48, 3), 'rgb', 1)
    """

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Load the two images.

        Args:
            results: A sample with ``img_path`` and ``gt_path``, and optionally ``place``.

        Returns:
            The sample with ``img`` and ``gt``.
        """
        for key, image in zip(('img', 'gt'), self._read(results)):
            _add_image(results, key, image)
        (height, width), (gt_height, gt_width) = results['img'].shape[:2], results['gt'].shape[:2]
        if (height, width) != (gt_height, gt_width):
            raise UserError(
                f"'{results['img_path']}' is {width}x{height} pixels, but '{results['gt_path']}' "
                f'is {gt_width}x{gt_height}; give the images of a pair the same size.'
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
        if results['img_path'] == results['gt_path']:  # SynthesizeBlur makes the blurry image
            return blurry, blurry.copy()
        return blurry, read_rgb(results['gt_path'])


@TRANSFORMS.register_module()
class LoadPhoto(BaseTransform):
    """Loads a photo that has no sharp image.

    The values are those that ``tools/deblur.py`` restores: gray is repeated three times, and an
    alpha channel is dropped. Adds ``img``, RGB, and the keys about ``img`` that
    :class:`LoadImagePair` adds. ``img`` is uint8, or float32 in the range 0..255 if the photo has
    more than 8 bits per channel.

    Raises:
        UserError: The file cannot be read or is not a photo of a supported kind.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from mmspd.datasets import LoadPhoto
        >>> from mmspd.datasets.image_io import write_png
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, 'cat.png')
        ...     write_png(path, np.zeros((32, 48, 3), np.uint8))
        ...     sample = LoadPhoto()(dict(img_path=str(path)))
        >>> sample['ori_img_shape']
        (32, 48, 3)
    """

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Load the photo.

        Args:
            results: A sample with ``img_path``.

        Returns:
            The sample with ``img``.
        """
        pixels = as_rgb(read_photo(results['img_path']).pixels)
        if pixels.dtype == np.uint16:
            pixels = pixels / np.float32(257)  # 65535 / 257 = 255
        _add_image(results, 'img', pixels)
        results['scale'] = 1
        return results


def _add_image(results: Dict[str, Any], key: str, image: np.ndarray) -> None:
    """Add an image, and the keys about this image that MMagic needs."""
    # the workers already run in parallel; additional OpenCV threads would compete for the cores
    if cv2.getNumThreads() > 1:
        cv2.setNumThreads(0)
    results[key] = image
    results[f'ori_{key}_shape'] = image.shape
    results[f'{key}_channel_order'] = 'rgb'
    results[f'{key}_color_type'] = 'color'
