"""Self-ensemble: restore an image from each of its eight sides and average."""

from typing import Callable

import torch
from torch import Tensor

__all__ = ['self_ensemble']


def self_ensemble(restore: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Average the restorations of all flips and quarter turns, each turned back.

    It costs eight times as much as one restoration and the memory of one. Published tables say
    seldom which of their rows have it ("x8", "+"), so a result should.

    Args:
        restore: takes and returns images ``(N, 3, H, W)``, of any size.
        images: blurry images ``(N, 3, H, W)``.

    Returns:
        Restored images ``(N, 3, H, W)``.

    Source: Timofte et al., "Seven Ways to Improve Example-Based Single Image Super Resolution",
    CVPR 2016.
    """
    total = torch.zeros_like(images)
    for flipped in (False, True):
        for turns in range(4):
            view = torch.rot90(images.flip(-1) if flipped else images, turns, (-2, -1))
            restored = torch.rot90(restore(view), -turns, (-2, -1))
            total += restored.flip(-1) if flipped else restored
    return total / 8
