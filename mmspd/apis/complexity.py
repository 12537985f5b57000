"""What networks cost: parameters and multiply-accumulates, counted without computing anything."""

import copy
from typing import Any, Dict, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ['Cost', 'cost_of', 'costs_of_parts']


class Cost(NamedTuple):
    """Parameters, shared ones once, and multiply-accumulates of a part of a network."""

    parameters: int
    macs: int


def cost_of(network: nn.Module, height: int, width: int) -> Cost:
    """Parameters and MACs, those of convolutions and matrix products, of a network.

    Args:
        network: Takes images ``(N, 3, H, W)``; it is left as it is.
        height: Rows of the image.
        width: Columns of the image.
    """
    network = copy.deepcopy(network).to('meta').eval()
    image = torch.empty(1, 3, height, width, device='meta')
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Cost(parameters, counter.get_total_flops() // 2)


def costs_of_parts(generator: Any, height: int, width: int) -> Dict[str, Cost]:
    """Parameters and MACs of a generator: of a guided one also restorer, F_S, CLC and SPE apart.

    Args:
        generator: Plain or guided restorer; it is left as it is.
        height: Rows of the image.
        width: Columns of the image.

    Returns:
        The parts by name; ``total`` is always there.
    """

    def cost(module: nn.Module) -> Cost:
        return cost_of(module, height, width)

    def without(whole: Cost, *parts: Cost) -> Cost:
        return Cost(*(total - sum(others) for total, *others in zip(whole, *parts)))

    total = cost(generator)
    if not hasattr(generator, 'prior'):
        return {'total': total}
    restorer, prior = cost(generator.restorer), cost(generator.prior)
    extractor = cost(generator.prior.extractor)
    return {
        'restorer': restorer,
        'F_S': extractor,
        'CLC' if hasattr(generator.prior, 'clc') else 'map': without(prior, extractor),
        'SPE': without(total, restorer, prior),
        'total': total,
    }
