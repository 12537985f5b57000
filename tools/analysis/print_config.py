"""Print a config after merging its base configs.

python tools/analysis/print_config.py CONFIG
"""

import argparse
from typing import List

from mmspd.utils.cli import run_main
from mmspd.utils.launch import add_cfg_options, read_config


def main(argv: List[str]) -> None:
    """Print the merged config and, with ``--save``, save it.

    Args:
        argv: Command-line arguments.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file')
    add_cfg_options(parser)
    parser.add_argument(
        '--save',
        metavar='FILE',
        help='also write the merged config to this .py, .json or .yml file',
    )
    args = parser.parse_args(argv)
    config = read_config(args.config, args.cfg_options or {})
    print(config.pretty_text)
    if args.save is not None:
        config.dump(args.save)


if __name__ == '__main__':
    run_main(main)
