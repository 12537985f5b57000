"""The memory that training holds between two steps."""

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmspd.models.layers.training_only import TrainingOnly

__all__ = ['bytes_of', 'held_bytes']


def bytes_of(*tensors: torch.Tensor) -> int:
    """Bytes of tensors; those that share their memory count once."""
    return sum({t.data_ptr(): t.numel() * t.element_size() for t in tensors}.values())


def held_bytes(model: nn.Module, wrapper: OptimWrapper) -> int:
    """Bytes that training holds between two steps, teacher and VGG among them."""
    device = next(model.parameters()).device
    holders = [
        value
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, TrainingOnly)
    ]
    networks = [model, *(holder.get(device) for holder in holders)]
    weights = [weight for network in networks for weight in network.parameters()]
    buffers = [buffer for network in networks for buffer in network.buffers()]
    states = [
        value
        for state in wrapper.optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    ]
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    return bytes_of(*weights, *buffers, *states, *gradients)
