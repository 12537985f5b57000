"""Conversion of an image to a batch of patches and back, and networks that run on patches."""

from typing import Any, Callable

import torch
from torch import Tensor

__all__ = ['COLUMNS', 'ROWS', 'join', 'run_on_patches', 'split']

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


def run_on_patches(network: Callable[[Tensor], Any], patches: Tensor, count: int) -> Any:
    """Run a network on a batch of patches.

    For inference on a CPU, the patches run one after another: the features of one patch of a photo
    fit the cache of the processor better. The network must have no operations across the batch, so
    that the results are equal.

    Args:
        network: Function of a batch. It returns a batch of features, or a list of such batches.
        patches: Batch of patches ``(count N, C, H, W)``, from :func:`split`.
        count: Number of patches of each image.

    Returns:
        The features of the whole batch.
    """
    one_by_one = patches.is_cpu and not torch.is_grad_enabled()
    if not one_by_one or torch.compiler.is_compiling():  # a loop would enlarge the graph
        return network(patches)
    parts = [network(part) for part in patches.chunk(count)]
    if isinstance(parts[0], Tensor):
        return torch.cat(parts)
    return [torch.cat(levels) for levels in zip(*parts)]
