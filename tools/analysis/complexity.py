"""Parameters and multiply-accumulates of a config's network, part by part.

python tools/analysis/complexity.py configs/spd/mimounet_sp_gopro.py --size 256 256
"""

import argparse
import json
from typing import Any, Callable, Dict, List, NamedTuple

import torch
from mmengine.registry import init_default_scope
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmspd.registry import build_model
from mmspd.utils.cli import run_main
from mmspd.utils.launch import add_cfg_options, read_config


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


def measure(generator: nn.Module, height: int, width: int) -> Dict[str, Cost]:
    """Parameters and MACs of a generator: of a guided one also restorer, F_S, CLC and SPE apart.

    Args:
        generator: plain or guided restorer.
        height: rows of the image.
        width: columns of the image.

    Returns:
        The parts by name; ``total`` is always there.
    """
    generator = generator.to('meta').eval()
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


def main(argv: List[str]) -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--size', type=int, nargs=2, default=(256, 256), metavar=('H', 'W'), help='image size'
    )
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    config = read_config(args.config, args.cfg_options or {})
    init_default_scope(config.get('default_scope', 'mmagic'))
    parts = measure(build_model(config.model.generator), *args.size)
    if args.json:
        print(json.dumps({name: part._asdict() for name, part in parts.items()}, indent=2))
        return
    height, width = args.size
    print(f'{args.config} at {height}x{width}')
    print(f'{"part":<10}{"parameters":>14}{"GMAC":>10}')
    for name, part in parts.items():
        print(f'{name:<10}{part.parameters:>14,}{part.macs / 1e9:>10.2f}')
    if 'SPE' in parts:
        restorer = parts['restorer'].macs
        added = parts['total'].macs - restorer
        print(f'The prior adds {added / 1e9:.2f} GMAC, {added / restorer:.1%} of the restorer.')


if __name__ == '__main__':
    run_main(main)
