"""Recomputation of activations in the backward pass."""

from typing import Any, Callable

import torch
from torch.utils.checkpoint import checkpoint

__all__ = ['checkpointed']


def checkpointed(with_cp: bool, function: Callable[..., Any], *inputs: Any) -> Any:
    """Call a function; with ``with_cp`` its activations are recomputed in the backward pass.

    Args:
        with_cp: spend time to save memory. Nothing is recomputed where no gradient is recorded.
        function: a module, or a function of tensors.
        inputs: its arguments.

    Returns:
        What the function returns.
    """
    if with_cp and torch.is_grad_enabled():
        return checkpoint(function, *inputs, use_reentrant=False)
    return function(*inputs)
