"""Print a config after merging its base configs.

python tools/analysis/print_config.py CONFIG
"""

import argparse
from pathlib import Path
from typing import List

from mmspd.utils.cli import output_file, run_main
from mmspd.utils.launch import add_cfg_options, read_config

_SUFFIXES = ('.py', '.json', '.yml', '.yaml')


def _config_file(text: str) -> Path:
    """Parse the name of the file to save."""
    path = output_file(text)
    if path.suffix not in _SUFFIXES:
        raise argparse.ArgumentTypeError(
            f'{text!r} has an unknown suffix; use one of {", ".join(_SUFFIXES)}.'
        )
    return path


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
        type=_config_file,
        metavar='FILE',
        help='also write the merged config to this .py, .json or .yml file',
    )
    args = parser.parse_args(argv)
    config = read_config(args.config, args.cfg_options or {})
    print(config.pretty_text)
    if args.save is not None:
        args.save.parent.mkdir(parents=True, exist_ok=True)
        config.dump(args.save)


if __name__ == '__main__':
    run_main(main)
