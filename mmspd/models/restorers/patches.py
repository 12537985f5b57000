"""Patches of an image as a batch, for the restorers that work on patches."""

from torch import Tensor

__all__ = ['COLUMNS', 'ROWS', 'join', 'split']

ROWS, COLUMNS = -2, -1


def split(x: Tensor, dim: int) -> Tensor:
    """Cut images in two along an axis and stack the halves as a batch, all first halves first.

    A network that does not look across the batch then computes what a loop over patches would.

    Args:
        x: ``(N, C, H, W)``.
        dim: :data:`ROWS` or :data:`COLUMNS`, of even length.

    Returns:
        ``(2 N, C, H / 2, W)``, or ``(2 N, C, H, W / 2)``.
    """
    return x.unflatten(dim, (2, x.shape[dim] // 2)).movedim(dim - 1, 0).flatten(0, 1)


def join(x: Tensor, dim: int) -> Tensor:
    """Undo :func:`split`."""
    return x.unflatten(0, (2, x.shape[0] // 2)).movedim(0, dim - 1).flatten(dim - 1, dim)
