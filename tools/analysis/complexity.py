"""Count the parameters and multiply-accumulates (MACs) of each part of a config's network.

python tools/analysis/complexity.py configs/spd/mimounet_sp_gopro.py --size 256 256
"""

import argparse
import json
from typing import List

from mmengine.registry import init_default_scope

from mmspd.apis.complexity import costs_of_parts
from mmspd.registry import build_model
from mmspd.utils.cli import at_least_one, run_main
from mmspd.utils.config_check import require_keys
from mmspd.utils.launch import add_cfg_options, read_config


def main(argv: List[str]) -> None:
    """Print the costs as a table or as JSON.

    Args:
        argv: Command-line arguments.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--size',
        type=at_least_one,
        nargs=2,
        default=(256, 256),
        metavar=('H', 'W'),
        help='height and width of the image in pixels (default: 256 256)',
    )
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    config = read_config(args.config, args.cfg_options or {})
    require_keys(config, 'model.generator')
    init_default_scope(config.get('default_scope', 'mmagic'))
    parts = costs_of_parts(build_model(config.model.generator), *args.size)
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
