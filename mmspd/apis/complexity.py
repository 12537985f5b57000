"""Count the parameters and multiply-accumulates (MACs) of networks."""

from typing import Any, Callable, Dict, NamedTuple, Optional

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from mmspd.models.layers.shape_inference import shapes_only

__all__ = ['Cost', 'cost_of', 'costs_of_parts', 'macs_of_call']


class Cost(NamedTuple):
    """Parameters and multiply-accumulates of a network or of one of its parts.

    Attributes:
        parameters: Number of parameters. A parameter that two modules share counts once.
        macs: Number of multiply-accumulates for one image.
    """

    parameters: int
    macs: int


def cost_of(network: nn.Module, height: int, width: int) -> Cost:
    """Count the parameters of a network and its MACs for one image.

    Only convolutions and matrix products count as MACs. The count runs on PyTorch's meta device,
    which computes shapes but no values, so it takes little time and memory.

    Args:
        network: A network that takes images ``(N, 3, H, W)``. It is not modified.
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.

    Returns:
        The parameters and the MACs.

    Examples:
        >>> from torch import nn
        >>> from mmspd.apis.complexity import cost_of
        >>> cost_of(nn.Conv2d(3, 8, kernel_size=3, padding=1), height=16, width=32)
        Cost(parameters=224, macs=110592)
    """
    with shapes_only(network):
        image = torch.empty(1, 3, height, width, device='meta')
        macs = macs_of_call(lambda: network.eval()(image))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Cost(parameters, macs)


def macs_of_call(function: Callable[[], Any]) -> int:
    """Count the MACs of a call of a function, on any device.

    Only convolutions and matrix products count as MACs. Those of a backward pass count too.

    Args:
        function: The function. A compiled network in it is not counted correctly.

    Returns:
        The number of MACs.

    Examples:
        >>> import torch
        >>> from mmspd.apis.complexity import macs_of_call
        >>> weight = torch.ones(3, 4, requires_grad=True)
        >>> macs_of_call(lambda: torch.ones(2, 3) @ weight)
        24
        >>> macs_of_call(lambda: (torch.ones(2, 3) @ weight).sum().backward())
        48
    """
    with _FlopCounter() as counter:
        function()
    return counter.flops // 2


class _FlopCounter(TorchDispatchMode):
    """Counts like PyTorch's FlopCounterMode, without the times of its counts for each module."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Optional[dict] = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        count: Optional[Callable] = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=result)
        return result


def costs_of_parts(generator: Any, height: int, width: int) -> Dict[str, Cost]:
    """Count the parameters and MACs of a generator and of its parts.

    Args:
        generator: A plain restorer, or a guided one
            (:class:`~mmspd.models.guided.SemanticGuided`). It is not modified.
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.

    Returns:
        A dict from names to costs. A plain restorer has only the name ``total``. A guided restorer
        also has the names ``restorer``, ``F_S`` (the extractor of the prior), ``CLC`` (``map`` for
        an image-level prior) and ``SPE`` (the embedding).

    Examples:
        >>> from mmspd.apis.complexity import costs_of_parts
        >>> from mmspd.registry import build_model
        >>> config = dict(
        ...     type='mmspd.SemanticGuided',
        ...     restorer=dict(type='mmspd.UNet', base=4, num_res=1),
        ...     prior=dict(type='mmspd.SPL', extractor=dict(type='mmspd.ConvExtractor', width=4)),
        ...     embedding=dict(type='mmspd.SPE'),
        ... )
        >>> costs = costs_of_parts(build_model(config), height=64, width=64)
        >>> list(costs)
        ['restorer', 'F_S', 'CLC', 'SPE', 'total']
        >>> costs['restorer']
        Cost(parameters=16467, macs=9601024)
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
