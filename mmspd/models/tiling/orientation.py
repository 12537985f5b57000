"""The eight flips and quarter turns of an image, for the self-ensemble.

Source: Timofte et al., "Seven Ways to Improve Example-Based Single Image Super Resolution",
CVPR 2016.
"""

from typing import NamedTuple, Tuple

import torch
from torch import Tensor

from mmspd.models.tiling.grid import Span

__all__ = ['ORIENTATIONS', 'Orientation']


class Orientation(NamedTuple):
    """A horizontal flip, or none, and then some counterclockwise quarter turns.

    Attributes:
        flipped: whether columns are reversed first.
        turns: number of quarter turns, 0 to 3.
    """

    flipped: bool
    turns: int

    def apply(self, image: Tensor) -> Tensor:
        """Flip and rotate ``(..., H, W)``."""
        image = image.flip(-1) if self.flipped else image
        return torch.rot90(image, self.turns, (-2, -1)) if self.turns else image

    def undo(self, image: Tensor) -> Tensor:
        """Bring back what :meth:`apply` returned."""
        image = torch.rot90(image, -self.turns, (-2, -1)) if self.turns else image
        return image.flip(-1) if self.flipped else image

    def size(self, size: Tuple[int, int]) -> Tuple[int, int]:
        """Height and width of an image of ``size`` in this orientation."""
        return (size[1], size[0]) if self.turns % 2 else size

    def source(self, rows: Span, columns: Span, size: Tuple[int, int]) -> Tuple[slice, slice]:
        """Find the part of the original image that becomes a part of the oriented one.

        Args:
            rows: of the part of the oriented image.
            columns: likewise.
            size: height and width of the original.

        Returns:
            Rows and columns of the original.
        """
        height, width = self.size(size)
        for _ in range(self.turns):
            rows, columns = columns, Span(height - rows.stop, height - rows.start)
            height, width = width, height
        if self.flipped:
            columns = Span(width - columns.stop, width - columns.start)
        return slice(*rows), slice(*columns)


#: All eight; the first leaves an image as it is.
ORIENTATIONS = tuple(Orientation(flipped, turns) for flipped in (False, True) for turns in range(4))
