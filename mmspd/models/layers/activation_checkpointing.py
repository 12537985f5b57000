"""Activation checkpointing: recompute activations in the backward pass."""

from typing import Any, Callable

import torch
from torch.utils.checkpoint import checkpoint

__all__ = ['checkpointed']


def checkpointed(with_cp: bool, function: Callable[..., Any], *inputs: Any) -> Any:
    """Call a function and, on request, recompute its activations in the backward pass.

    Args:
        with_cp: Recompute the activations, which needs less memory and more time. This has no
            effect while gradients are not recorded.
        function: A module or a function of tensors.
        inputs: The arguments of the function.

    Returns:
        The result of the function.

    Examples:
        >>> import torch
        >>> from mmspd.models.layers.activation_checkpointing import checkpointed
        >>> layer = torch.nn.Conv2d(3, 8, 3, padding=1)
        >>> checkpointed(True, layer, torch.zeros(1, 3, 16, 16)).shape
        torch.Size([1, 8, 16, 16])
    """
    if with_cp and torch.is_grad_enabled():
        return checkpoint(function, *inputs, use_reentrant=False)
    return function(*inputs)
