"""Targets of multi-scale restorers: the sharp image at the resolution of each output."""

import math
from functools import partial
from typing import Callable, Dict, List, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmspd.errors import UserError
from mmspd.models.layers.tf1 import resize_bilinear

__all__ = ['MULTI_SCALE_TARGETS', 'MultiScaleTargets', 'gaussian_half', 'get_multi_scale_targets']

MultiScaleTargets = Callable[[Tensor, Sequence[Tensor]], List[Tensor]]

# The filter of scikit-image's pyramids: sigma = 2 * downscale / 6, truncated at 4 sigma.
SIGMA = 2 / 3
RADIUS = 3


def _resized(
    resize: Callable[[Tensor, int, int], Tensor], sharp: Tensor, outputs: Sequence[Tensor]
) -> List[Tensor]:
    """Resize the sharp image to the size of each output."""
    return [
        sharp if output.shape[-2:] == sharp.shape[-2:] else resize(sharp, *output.shape[-2:])
        for output in outputs
    ]


def _bilinear(align_corners: bool, sharp: Tensor, height: int, width: int) -> Tensor:
    """Resize an image bilinearly without antialiasing."""
    return F.interpolate(sharp, (height, width), mode='bilinear', align_corners=align_corners)


def gaussian(sharp: Tensor, outputs: Sequence[Tensor]) -> List[Tensor]:
    """Halve the sharp image repeatedly with :func:`gaussian_half`, as DeepDeblur does.

    Args:
        sharp: ``(N, C, H, W)``, any range.
        outputs: The outputs of a restorer. Only their heights and widths are read.

    Returns:
        One target per output, of the height and width of this output.

    Raises:
        UserError: Halving the sharp image does not produce the size of an output.
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
                "model.multi_scale_targets='gaussian' makes targets of the sizes "
                f'{", ".join(map(str, by_size))}, but the restorer has an output of {size}; '
                "use 'bilinear'."
            )
    return [by_size[size] for size in sizes]


def gaussian_half(img: Tensor) -> Tensor:
    """Halve an image like one step of scikit-image's ``pyramid_gaussian``.

    The image is filtered with a Gaussian of sigma 2/3 and then resampled linearly. At the borders
    the image is mirrored, with the edge pixels repeated. The filter is a sum of shifted images
    instead of a convolution, because autocast would reduce the precision of a convolution.

    Args:
        img: ``(N, C, H, W)``, any range.

    Returns:
        ``(N, C, ceil(H / 2), ceil(W / 2))``.

    Examples:
        >>> import torch
        >>> from mmspd.models.layers.multi_scale_targets import gaussian_half
        >>> gaussian_half(torch.ones(1, 3, 5, 8)).shape
        torch.Size([1, 3, 3, 4])
    """
    smooth = _smooth(_smooth(img, -2), -1)
    size = [(side + 1) // 2 for side in img.shape[-2:]]
    return F.interpolate(smooth, size=size, mode='bilinear', align_corners=False)


def _smooth(img: Tensor, dim: int) -> Tensor:
    """Apply the Gaussian filter along one axis."""
    side = img.shape[dim]
    index = torch.arange(-RADIUS, side + RADIUS, device=img.device)
    index = index % torch.full_like(index, 2 * side)  # ONNX cannot take a size as the divisor
    mirrored = img.index_select(dim, torch.minimum(index, 2 * side - 1 - index))
    weights = [math.exp(-0.5 * (tap / SIGMA) ** 2) for tap in range(-RADIUS, RADIUS + 1)]
    total = sum(weights)
    smooth = torch.zeros_like(img)
    for tap, weight in enumerate(weights):
        smooth = smooth + mirrored.narrow(dim, tap, side) * (weight / total)
    return smooth


#: A dict from the name of a method to the function that makes multi-scale targets.
MULTI_SCALE_TARGETS: Dict[str, MultiScaleTargets] = {
    # as in MIMO-UNet: at 1/4 resolution, a pixel is the mean of the 2x2 center of a 4x4 block
    'bilinear': partial(_resized, partial(_bilinear, False)),
    # with aligned corner pixels, as in MSSNet
    'bilinear_corners': partial(_resized, partial(_bilinear, True)),
    # as in TensorFlow 1, for SRN and PSS-NSC: at 1/4 resolution, every fourth pixel
    'tf1': partial(_resized, resize_bilinear),
    'gaussian': gaussian,
}


def get_multi_scale_targets(name: str) -> MultiScaleTargets:
    """Look up the function that makes multi-scale targets.

    Args:
        name: ``'bilinear'``, ``'bilinear_corners'``, ``'tf1'`` or ``'gaussian'``.

    Returns:
        A function of the sharp image ``(N, C, H, W)`` and the outputs. It returns one target per
        output.

    Raises:
        UserError: The name is unknown.

    Examples:
        >>> import torch
        >>> from mmspd.models.layers.multi_scale_targets import get_multi_scale_targets
        >>> make_targets = get_multi_scale_targets('bilinear')
        >>> outputs = [torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 16, 16)]
        >>> [tuple(target.shape[-2:]) for target in make_targets(torch.ones(1, 3, 16, 16), outputs)]
        [(8, 8), (16, 16)]
    """
    if name not in MULTI_SCALE_TARGETS:
        raise UserError(
            f'model.multi_scale_targets={name!r} is unknown; use one of '
            f'{", ".join(MULTI_SCALE_TARGETS)}.'
        )
    return MULTI_SCALE_TARGETS[name]
