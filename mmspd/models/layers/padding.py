"""Pad images to a multiple of a number of pixels, and crop them back."""

import torch
from torch import Tensor

__all__ = ['crop_to', 'pad_to', 'pad_to_multiple', 'round_up']


def round_up(size: int, multiple: int) -> int:
    """Round ``size`` up to the next multiple of ``multiple``."""
    return (size + multiple - 1) // multiple * multiple


def _is_exporting() -> bool:
    """Return whether a graph is being exported.

    An exported graph keeps only the branch that the example image takes, so the code must not
    branch on the image size.
    """
    is_exporting = getattr(torch.compiler, 'is_exporting', None)
    return torch.jit.is_tracing() or (is_exporting is not None and is_exporting())


def _source_index(size: int, padded: int, device: torch.device, mode: str) -> Tensor:
    """Return, for each row of the padded image, the index of the row to copy.

    To mirror, the index is mirrored at the last row and then clamped. If the padding is not smaller
    than the image, the clamp repeats row 0. Plain reflection padding rejects such sizes.
    """
    index = torch.arange(padded, device=device)
    if mode == 'edge':
        return index.clamp(max=size - 1)
    return ((size - 1) - (index - (size - 1)).abs()).clamp(min=0)


def pad_to_multiple(
    img: Tensor, multiple: int, mode: str = 'mirror', *, smallest: int = 1
) -> Tensor:
    """Pad an image at the right and bottom until both sides are multiples of ``multiple``.

    The padding mirrors the image until the image is used up and then repeats the first row or
    column, so any size from one pixel up works. An exported graph has no branch on the image size.

    Args:
        img: ``(N, C, H, W)``.
        multiple: The number that divides both padded sides.
        mode: ``'mirror'``, or ``'edge'`` to repeat the last row and column.
        smallest: The padded sides are at least this number, a multiple of ``multiple``.

    Returns:
        ``(N, C, H', W')``, where ``H'`` and ``W'`` are H and W rounded up. If the image needs no
        padding, ``img`` itself is returned.

    Examples:
        >>> import torch
        >>> from mmspd.models.layers.padding import crop_to, pad_to_multiple
        >>> img = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> padded = pad_to_multiple(img, 4)
        >>> padded[0, 0, 0]
        tensor([1., 2., 3., 2.])
        >>> padded.shape, crop_to(padded, 1, 3).shape
        (torch.Size([1, 1, 4, 4]), torch.Size([1, 1, 1, 3]))
    """
    height, width = img.shape[-2:]
    new_height, new_width = round_up(height, multiple), round_up(width, multiple)
    if smallest > multiple:
        new_height, new_width = (torch.sym_max(n, smallest) for n in (new_height, new_width))
    if not _is_exporting() and (new_height, new_width) == (height, width):
        return img
    return pad_to(img, new_height, new_width, mode)


def pad_to(img: Tensor, height: int, width: int, mode: str = 'mirror') -> Tensor:
    """Pad an image at the right and bottom to a given size.

    The padding mirrors the image until the image is used up and then repeats the first row or
    column.

    Args:
        img: ``(N, C, H, W)``.
        height: New height, at least H.
        width: New width, at least W.
        mode: ``'mirror'``, or ``'edge'`` to repeat the last row and column.

    Returns:
        ``(N, C, height, width)``, always a copy.
    """
    img = img.index_select(-2, _source_index(img.shape[-2], height, img.device, mode))
    return img.index_select(-1, _source_index(img.shape[-1], width, img.device, mode))


def crop_to(img: Tensor, height: int, width: int, scale: int = 1) -> Tensor:
    """Remove the padding from an output at ``1/scale`` of the full resolution.

    Args:
        img: ``(N, C, H' / scale, W' / scale)``.
        height: Height of the image before padding, at full resolution.
        width: Width of the image before padding, at full resolution.
        scale: Side of a pixel of ``img``, measured in pixels at full resolution.

    Returns:
        ``(N, C, ceil(height / scale), ceil(width / scale))``.
    """
    return img[..., : (height + scale - 1) // scale, : (width + scale - 1) // scale]
