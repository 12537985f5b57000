"""Padding of images to a network's size multiple, and cropping back."""

import torch
from torch import Tensor

__all__ = ['crop_to', 'pad_to', 'pad_to_multiple', 'round_up']


def round_up(size: int, multiple: int) -> int:
    """Round ``size`` up to the next multiple."""
    return (size + multiple - 1) // multiple * multiple


def _is_exporting() -> bool:
    """Tell whether a size-dependent Python branch would be frozen into an exported graph."""
    is_exporting = getattr(torch.compiler, 'is_exporting', None)
    return torch.jit.is_tracing() or (is_exporting is not None and is_exporting())


def _reflected_index(size: int, padded: int, device: torch.device) -> Tensor:
    """Index of the source row for each padded row: mirrored at the last one, then clamped.

    The clamp takes over where the pad is not smaller than the side, which plain reflection
    padding refuses.
    """
    index = torch.arange(padded, device=device)
    return ((size - 1) - (index - (size - 1)).abs()).clamp(min=0)


def pad_to_multiple(img: Tensor, multiple: int) -> Tensor:
    """Pad an image at the right and bottom until both sides are multiples of ``multiple``.

    Pads by reflection as far as the image reaches, then by replication, so any size from one
    pixel up works; there is no branch on the size in an exported graph.

    Args:
        img: ``(N, C, H, W)``.
        multiple: what both sides shall be divisible by.

    Returns:
        ``(N, C, H', W')`` with ``H'`` and ``W'`` rounded up; ``img`` itself where nothing is to do.
    """
    height, width = img.shape[-2:]
    new_height, new_width = round_up(height, multiple), round_up(width, multiple)
    if not _is_exporting() and (new_height, new_width) == (height, width):
        return img
    return pad_to(img, new_height, new_width)


def pad_to(img: Tensor, height: int, width: int) -> Tensor:
    """Pad an image at the right and bottom, by reflection as far as it reaches, then replication.

    Args:
        img: ``(N, C, H, W)``.
        height: at least H.
        width: at least W.

    Returns:
        ``(N, C, height, width)``, in memory of its own.
    """
    img = img.index_select(-2, _reflected_index(img.shape[-2], height, img.device))
    return img.index_select(-1, _reflected_index(img.shape[-1], width, img.device))


def crop_to(img: Tensor, height: int, width: int, scale: int = 1) -> Tensor:
    """Crop an output at ``1/scale`` of the padded size back to the image's own extent.

    Args:
        img: ``(N, C, H' / scale, W' / scale)``.
        height: rows of the image before padding, at full resolution.
        width: columns of the image before padding, at full resolution.
        scale: how many full-resolution pixels one pixel of ``img`` covers.

    Returns:
        ``(N, C, ceil(height / scale), ceil(width / scale))``.
    """
    return img[..., : (height + scale - 1) // scale, : (width + scale - 1) // scale]
