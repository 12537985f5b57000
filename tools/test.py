"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``."""

import argparse
from pathlib import Path
from typing import List

from mmengine.config import Config

from mmspd.utils.cli import run_main
from mmspd.utils.launch import (
    add_common_arguments,
    build_runner,
    check_file,
    prepare_config,
    read_config,
)


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
    parser.add_argument(
        '--test-on',
        metavar='DATASET',
        help='test on another data set: the name of a file in configs/_base_/datasets (hide, '
        'realblur_j, gopro, folder_pairs), or the path of one',
    )
    return parser.parse_args(argv)


def use_dataset(config: Config, name: str) -> None:
    """Replace the config's test data and metrics by those of a data set's file."""
    bases = Path(__file__).resolve().parents[1] / 'configs' / '_base_' / 'datasets'
    path = name if name.endswith('.py') else str(bases / f'{name}.py')
    dataset = read_config(path, {})
    for key in ('test_dataloader', 'test_evaluator'):
        config[key] = dataset[key]


def main(argv: List[str]) -> None:
    """Test as the command line says."""
    args = parse_args(argv)
    check_file(args.checkpoint, 'checkpoint')
    config = prepare_config(args)
    if args.test_on is not None:
        use_dataset(config, args.test_on)
        config.merge_from_dict(args.cfg_options or {})  # once more, now to the new data set
    config.resume = False
    config.load_from = args.checkpoint
    if args.out is not None:
        saver = dict(type='mmspd.SaveResultsHook', out_dir=args.out)
        config.merge_from_dict(dict(default_hooks=dict(save_results=saver)))
    build_runner(config).test()


if __name__ == '__main__':
    run_main(main)
