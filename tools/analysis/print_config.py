"""Print a config with its bases merged: ``python tools/analysis/print_config.py CONFIG``."""

import argparse
from typing import List

from mmspd.utils.cli import run_main
from mmspd.utils.launch import add_cfg_options, read_config


def main(argv: List[str]) -> None:
    """Print the whole config."""
    parser = argparse.ArgumentParser(description='Print a config with its bases merged.')
    parser.add_argument('config', help='config file')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    print(read_config(args.config, args.cfg_options or {}).pretty_text)


if __name__ == '__main__':
    run_main(main)
