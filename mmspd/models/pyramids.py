"""The sharp image at the resolution of each output: the targets of multi-scale restorers."""

from typing import Callable, Dict, List, Sequence

import torch.nn.functional as F
from torch import Tensor

from mmspd.errors import UserError

__all__ = ['PYRAMIDS', 'Pyramid', 'get_pyramid']

Pyramid = Callable[[Tensor, Sequence[Tensor]], List[Tensor]]


def bilinear(sharp: Tensor, outputs: Sequence[Tensor]) -> List[Tensor]:
    """Bilinear, no antialiasing, as MIMO-UNet: 1/4 averages the centre 2x2 of each 4x4 block."""
    return [_resize(sharp, output, align_corners=False) for output in outputs]


def bilinear_corners(sharp: Tensor, outputs: Sequence[Tensor]) -> List[Tensor]:
    """Bilinear with the corner pixels aligned, as MSSNet."""
    return [_resize(sharp, output, align_corners=True) for output in outputs]


def _resize(sharp: Tensor, output: Tensor, align_corners: bool) -> Tensor:
    size = output.shape[-2:]
    if sharp.shape[-2:] == size:
        return sharp
    return F.interpolate(sharp, size=size, mode='bilinear', align_corners=align_corners)


PYRAMIDS: Dict[str, Pyramid] = {'bilinear': bilinear, 'bilinear_corners': bilinear_corners}


def get_pyramid(name: str) -> Pyramid:
    """Look up how targets are made.

    Raises:
        UserError: there is no such pyramid.
    """
    if name not in PYRAMIDS:
        raise UserError(f'model.pyramid={name!r} is unknown; use one of {", ".join(PYRAMIDS)}.')
    return PYRAMIDS[name]
