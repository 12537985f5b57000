"""The sharp image at the resolution of each output: the targets of multi-scale restorers."""

import math
from functools import partial
from typing import Callable, Dict, List, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmspd.errors import UserError

__all__ = ['MULTI_SCALE_TARGETS', 'MultiScaleTargets', 'gaussian_half', 'get_multi_scale_targets']

MultiScaleTargets = Callable[[Tensor, Sequence[Tensor]], List[Tensor]]

# The filter of scikit-image's pyramids: sigma = 2 * downscale / 6, cut off at 4 sigma.
SIGMA = 2 / 3
RADIUS = 3


def _bilinear(align_corners: bool, sharp: Tensor, outputs: Sequence[Tensor]) -> List[Tensor]:
    """Bilinear, without antialiasing."""
    return [
        sharp
        if output.shape[-2:] == sharp.shape[-2:]
        else F.interpolate(sharp, output.shape[-2:], mode='bilinear', align_corners=align_corners)
        for output in outputs
    ]


def gaussian(sharp: Tensor, outputs: Sequence[Tensor]) -> List[Tensor]:
    """Repeated :func:`gaussian_half`, as DeepDeblur.

    Raises:
        UserError: an output has a size that no number of halvings leads to.
    """
    levels = [sharp]
    smallest = min(output.shape[-2] * output.shape[-1] for output in outputs)
    while levels[-1].shape[-2] * levels[-1].shape[-1] > smallest:
        levels.append(gaussian_half(levels[-1]))
    by_size = {tuple(level.shape[-2:]): level for level in levels}
    sizes = [tuple(output.shape[-2:]) for output in outputs]
    for size in sizes:
        if size not in by_size:
            raise UserError(
                f"model.multi_scale_targets='gaussian' halves {tuple(sharp.shape[-2:])} to "
                f'{", ".join(map(str, list(by_size)[1:])) or "nothing"}, but the restorer has an '
                f"output of {size}; use 'bilinear'."
            )
    return [by_size[size] for size in sizes]


def gaussian_half(img: Tensor) -> Tensor:
    """Halve an image as one step of scikit-image's ``pyramid_gaussian`` does.

    A Gaussian of sigma 2/3, its borders mirrored with the edge pixels repeated, then linear
    resampling. Sums of shifted images instead of a convolution, so that autocast leaves the
    precision alone.

    Args:
        img: ``(N, C, H, W)``, any range.

    Returns:
        ``(N, C, ceil(H / 2), ceil(W / 2))``.
    """
    smooth = _smooth(_smooth(img, -2), -1)
    size = [(side + 1) // 2 for side in img.shape[-2:]]
    return F.interpolate(smooth, size=size, mode='bilinear', align_corners=False)


def _smooth(img: Tensor, dim: int) -> Tensor:
    """Filter along one axis."""
    side = img.shape[dim]
    index = torch.arange(-RADIUS, side + RADIUS, device=img.device)
    index = index % torch.full_like(index, 2 * side)  # ONNX has no remainder by a size
    mirrored = img.index_select(dim, torch.minimum(index, 2 * side - 1 - index))
    weights = [math.exp(-0.5 * (tap / SIGMA) ** 2) for tap in range(-RADIUS, RADIUS + 1)]
    total = sum(weights)
    smooth = torch.zeros_like(img)
    for tap, weight in enumerate(weights):
        smooth = smooth + mirrored.narrow(dim, tap, side) * (weight / total)
    return smooth


MULTI_SCALE_TARGETS: Dict[str, MultiScaleTargets] = {
    # as MIMO-UNet: 1/4 averages the center 2x2 of each 4x4 block
    'bilinear': partial(_bilinear, False),
    # with the corner pixels aligned, as MSSNet
    'bilinear_corners': partial(_bilinear, True),
    'gaussian': gaussian,
}


def get_multi_scale_targets(name: str) -> MultiScaleTargets:
    """Look up how targets are made.

    Raises:
        UserError: the name is unknown.
    """
    if name not in MULTI_SCALE_TARGETS:
        raise UserError(
            f'model.multi_scale_targets={name!r} is unknown; use one of '
            f'{", ".join(MULTI_SCALE_TARGETS)}.'
        )
    return MULTI_SCALE_TARGETS[name]
