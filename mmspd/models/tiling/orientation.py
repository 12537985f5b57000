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
    """An optional horizontal flip, followed by counterclockwise quarter turns.

    Attributes:
        flipped: Whether the columns are reversed first.
        turns: Number of quarter turns, 0 to 3.

    Examples:
        >>> import torch
        >>> from mmspd.models.tiling.orientation import Orientation
        >>> turn = Orientation(flipped=False, turns=1)
        >>> turn.apply(torch.tensor([[1, 2, 3]]))
        tensor([[3],
                [2],
                [1]])
        >>> turn.undo(turn.apply(torch.tensor([[1, 2, 3]])))
        tensor([[1, 2, 3]])
    """

    flipped: bool
    turns: int

    def apply(self, image: Tensor) -> Tensor:
        """Flip and rotate an image.

        Args:
            image: ``(..., H, W)``.

        Returns:
            ``(..., H, W)``, or ``(..., W, H)`` after an odd number of turns.
        """
        image = image.flip(-1) if self.flipped else image
        return torch.rot90(image, self.turns, (-2, -1)) if self.turns else image

    def undo(self, image: Tensor) -> Tensor:
        """Invert :meth:`apply`.

        Args:
            image: A result of :meth:`apply`.

        Returns:
            The original image.
        """
        image = torch.rot90(image, -self.turns, (-2, -1)) if self.turns else image
        return image.flip(-1) if self.flipped else image

    def size(self, size: Tuple[int, int]) -> Tuple[int, int]:
        """Compute the size of an image in this orientation.

        Args:
            size: Height and width of the original.

        Returns:
            Height and width of the oriented image.
        """
        return (size[1], size[0]) if self.turns % 2 else size

    def source(self, rows: Span, columns: Span, size: Tuple[int, int]) -> Tuple[slice, slice]:
        """Find the part of the original image that becomes a given part of the oriented image.

        Args:
            rows: Rows of the part of the oriented image.
            columns: Columns of the part of the oriented image.
            size: Height and width of the original.

        Returns:
            Rows and columns of the part of the original.
        """
        height, width = self.size(size)
        for _ in range(self.turns):
            rows, columns = columns, Span(height - rows.stop, height - rows.start)
            height, width = width, height
        if self.flipped:
            columns = Span(width - columns.stop, width - columns.start)
        return slice(*rows), slice(*columns)


#: All eight orientations. The first is the identity.
ORIENTATIONS = tuple(Orientation(flipped, turns) for flipped in (False, True) for turns in range(4))
