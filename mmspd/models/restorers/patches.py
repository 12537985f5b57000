"""Conversion of an image to a batch of patches and back."""

from torch import Tensor

__all__ = ['COLUMNS', 'ROWS', 'join', 'split']

ROWS, COLUMNS = -2, -1


def split(x: Tensor, dim: int) -> Tensor:
    """Cut images in two along an axis, and return the halves as one batch.

    All first halves come before all second halves. A network without operations across the batch
    gives the same result for this batch as in a loop over the halves.

    Args:
        x: Images or features ``(N, C, H, W)``.
        dim: :data:`ROWS` or :data:`COLUMNS`; the length of this axis must be even.

    Returns:
        The halves, ``(2 N, C, H / 2, W)`` or ``(2 N, C, H, W / 2)``.
    """
    return x.unflatten(dim, (2, x.shape[dim] // 2)).movedim(dim - 1, 0).flatten(0, 1)


def join(x: Tensor, dim: int) -> Tensor:
    """Undo :func:`split`.

    Args:
        x: Halves ``(2 N, C, H, W)``.
        dim: :data:`ROWS` or :data:`COLUMNS`.

    Returns:
        The images, ``(N, C, 2 H, W)`` or ``(N, C, H, 2 W)``.
    """
    return x.unflatten(0, (2, x.shape[0] // 2)).movedim(0, dim - 1).flatten(dim - 1, dim)
