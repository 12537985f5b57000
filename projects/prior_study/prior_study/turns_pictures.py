"""Pictures of test images that several variants have restored."""

from pathlib import Path
from typing import Any, Dict

import numpy as np

from mmspd.datasets.image_io import write_png
from mmspd.evaluation.metrics.functional import to_uint8_rgb
from mmspd.visualization.pictures import picture_row, stack_rows

__all__ = ['Pictures']

_SIDE = 256  # pixels


class Pictures:
    """The centers of some images of a test set: blurry, restored by each variant, and sharp.

    Args:
        path: PNG file to write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: Dict[str, Dict[str, np.ndarray]] = {}

    def add(self, variant: str, sample: Any) -> None:
        """Add a restored image.

        Args:
            variant: Name of the variant.
            sample: Data sample of an image that the variant has restored.
        """
        row = self._rows.setdefault(sample.key, dict(blurry=_center(sample.input)))
        row.pop('sharp', None)  # the last column
        row.update({variant: _center(sample.output.pred_img), 'sharp': _center(sample.gt_img)})

    def write(self) -> None:
        """Write the file, with the variants that were added so far."""
        rows = [picture_row(list(row.values()), list(row)) for row in self._rows.values()]
        write_png(self.path, stack_rows(rows))


def _center(image: Any) -> np.ndarray:
    """Return the center of an image ``(3, H, W)``, BGR, [0, 255], as RGB, uint8."""
    pixels = to_uint8_rgb(image.float().cpu().numpy())
    top, left = (max(0, (size - _SIDE) // 2) for size in pixels.shape[:2])
    return pixels[top : top + _SIDE, left : left + _SIDE]
