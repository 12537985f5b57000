"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``."""

import argparse
from typing import List

from mmspd.utils.cli import run_main
from mmspd.utils.launch import add_common_arguments, build_runner, check_file, prepare_config


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Evaluate a checkpoint.')
    add_common_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint file of tools/train.py')
    parser.add_argument(
        '--out',
        metavar='FOLDER',
        help='save the restored images as PNG below FOLDER and the metrics as FOLDER/metrics.json',
    )
    return parser.parse_args(argv)


def main(argv: List[str]) -> None:
    """Test as the command line says."""
    args = parse_args(argv)
    check_file(args.checkpoint, 'checkpoint')
    config = prepare_config(args)
    config.resume = False
    config.load_from = args.checkpoint
    if args.out is not None:
        saver = dict(type='mmspd.SaveResultsHook', out_dir=args.out)
        config.merge_from_dict(dict(default_hooks=dict(save_results=saver)))
    build_runner(config).test()


if __name__ == '__main__':
    run_main(main)
