"""What networks cost: parameters and multiply-accumulates, counted without computing anything."""

import copy
from typing import Any, Callable, Dict, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ['Cost', 'costs_of_parts', 'count_macs', 'count_parameters']


class Cost(NamedTuple):
    """What a part of a network costs."""

    parameters: int
    macs: int

    def minus(self, other: 'Cost') -> 'Cost':
        """What is left of it without another part."""
        return Cost(self.parameters - other.parameters, self.macs - other.macs)


def count_macs(function: Callable[..., Any], *inputs: torch.Tensor) -> int:
    """Multiply-accumulates of convolutions and matrix products, on the meta device."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function(*inputs)
    return counter.get_total_flops() // 2


def count_parameters(module: nn.Module) -> int:
    """Number of distinct parameters; a shared one counts once."""
    return sum(parameter.numel() for parameter in module.parameters())


def costs_of_parts(generator: nn.Module, height: int, width: int) -> Dict[str, Cost]:
    """Parameters and MACs of a generator: of a guided one also restorer, F_S, CLC and SPE apart.

    Args:
        generator: Plain or guided restorer; it is left as it is.
        height: Rows of the image.
        width: Columns of the image.

    Returns:
        The parts by name; ``total`` is always there.
    """
    generator = copy.deepcopy(generator).to('meta').eval()
    image = torch.empty(1, 3, height, width, device='meta')

    def cost(module: nn.Module) -> Cost:
        return Cost(count_parameters(module), count_macs(module, image))

    total = cost(generator)
    if not hasattr(generator, 'prior'):
        return {'total': total}
    restorer, prior = cost(generator.restorer), cost(generator.prior)
    extractor = cost(generator.prior.extractor)
    return {
        'restorer': restorer,
        'F_S': extractor,
        'CLC' if hasattr(generator.prior, 'clc') else 'map': prior.minus(extractor),
        'SPE': total.minus(restorer).minus(prior),
        'total': total,
    }
