"""Random weights at unit gain, for tests that compare numbers.

With small weights, as most networks have at the start of training, a deep layer hardly changes the
output. A comparison of outputs then does not see an error in this layer.
"""

import math

import torch
from torch import nn

CONVOLUTIONS = nn.modules.conv._ConvNd


def fan_in(layer):
    """Number of values that a convolution or linear layer sums up for one value of its output."""
    weight = layer.weight
    if getattr(layer, 'transposed', False):  # (in, out / groups, ...); a stride skips values
        return weight[:, 0].numel() / layer.groups / math.prod(layer.stride)
    return weight[0].numel()


def draw(layer, name, normal):
    """A tensor of a layer from standard normal values."""
    if name == 'weight' and isinstance(layer, (CONVOLUTIONS, nn.Linear)):
        return normal / fan_in(layer) ** 0.5
    if name == 'weight' and isinstance(layer, nn.PReLU):
        return 0.25 * (1 + 0.2 * normal)
    if name in ('bias', 'running_mean'):
        return 0.1 * normal
    if name == 'running_var':
        return (1 + 0.2 * normal).square()
    return 1 + 0.2 * normal  # scales, such as those of norms, branches and attention


@torch.no_grad()
def unit_gain(network, seed=0):
    """Draw all parameters and statistics of a network, so that every layer changes the output.

    Layers keep the size of their input: the deviation of their weights is ``1 / sqrt(fan-in)``.
    Scales are ``1 + 0.2 N(0, 1)`` and biases ``0.1 N(0, 1)``. Returns the network.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        tensors = [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
        for name, tensor in tensors:
            if tensor.is_floating_point():
                normal = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
                tensor.copy_(draw(layer, name, normal))
    return network
