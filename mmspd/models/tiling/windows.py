"""Restore an image in windows, each as an image of its own, and average where windows overlap."""

import itertools
from typing import List, Optional, Union

import torch
from torch import Tensor, nn

from mmspd.models.tiling.grid import Span
from mmspd.models.tiling.network import TileNetwork
from mmspd.models.tiling.restore import restore_images

__all__ = ['restore_windows', 'window_spans']


def window_spans(length: int, window: int) -> List[Span]:
    """Cover an axis with the smallest number of windows, at the positions of HINet's evaluation.

    Args:
        length: Length of the axis in pixels.
        window: Length of the windows.

    Returns:
        The windows in order, at equal distances. The last window ends at ``length``, so it may be
        closer to the window before it. A shorter axis has a single window of its own length.

    Examples:
        >>> from mmspd.models.tiling.windows import window_spans
        >>> window_spans(720, 256)
        [Span(start=0, stop=256), Span(start=232, stop=488), Span(start=464, stop=720)]
    """
    if length <= window:
        return [Span(0, length)]
    last = length - window
    gaps = (length - 1) // window
    step = -(-last // gaps)
    starts = [min(number * step, last) for number in range(gaps + 1)]
    return [Span(start, start + window) for start in dict.fromkeys(starts)]


def restore_windows(
    model: Union[nn.Module, TileNetwork],
    images: Tensor,
    window: int,
    self_ensemble: bool = False,
    precision: Optional[str] = None,
) -> Tensor:
    """Restore overlapping windows of images, and average the results where windows overlap.

    Each window is restored as an image of its own: it is one forward pass, and a guided restorer
    computes the prior of the window. Unlike the tiles of
    :func:`~mmspd.models.tiling.restore.restore_images`, the windows do not reproduce the result of
    the whole image. They are the published evaluation of HINet, which normalizes features over the
    image and was trained on crops of 256 pixels.

    Args:
        model: A model with a ``generator``, or a generator, as in
            :func:`~mmspd.models.tiling.restore.restore_images`.
        images: Blurry images ``(N, 3, H, W)``, RGB, [0, 1].
        window: Side of the windows in pixels; see :func:`window_spans`.
        self_ensemble: Average the results of all eight flips and quarter turns of each window.
        precision: As in :func:`~mmspd.models.tiling.restore.restore_images`.

    Returns:
        The restored images ``(N, 3, H, W)``, float32. Values may slightly exceed [0, 1].

    Examples:
        >>> import torch
        >>> from mmspd.models.restorers import HINet
        >>> from mmspd.models.tiling import restore_windows
        >>> restore_windows(HINet(wf=4).eval(), torch.rand(1, 3, 40, 50), window=32).shape
        torch.Size([1, 3, 40, 50])
    """
    net = model if isinstance(model, TileNetwork) else TileNetwork(model)
    total = torch.zeros(images.shape, device=images.device)
    count = torch.zeros(images.shape[-2:], device=images.device)
    height, width = images.shape[-2:]
    for rows, columns in itertools.product(
        window_spans(height, window), window_spans(width, window)
    ):
        part = (..., slice(*rows), slice(*columns))
        total[part] += restore_images(
            net, images[part], tile=None, self_ensemble=self_ensemble, precision=precision
        )
        count[part] += 1
    return total / count
