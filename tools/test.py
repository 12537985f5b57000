#!/usr/bin/env python
"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``."""

import argparse
from pathlib import Path
from typing import List, Optional

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmspd.errors import UsageError
from mmspd.registry import DATASETS
from mmspd.utils.bases import find_base, read_protocols
from mmspd.utils.cli import output_folder, run_main, tile_argument, zero_or_more
from mmspd.utils.config_check import require_keys
from mmspd.utils.launch import (
    add_common_arguments,
    merge_options,
    prepare_config,
    read_config,
)
from mmspd.utils.precision import PRECISIONS
from mmspd.weights.sources import find_source

#: Keys of a config that ``--test-on`` replaces.
REPLACED = ('test_dataloader', 'test_evaluator', 'protocol')
MODEL_OPTIONS = ('self_ensemble', 'precision', 'channels_last', 'compile', 'tile')


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Evaluate a checkpoint. The result is written to a folder in WORK_DIR/results. '
        'It contains the values of every image, their provenance and the log. To compare results, '
        'use '
        'mmspd compare.',
    )
    add_common_arguments(parser)
    parser.add_argument(
        'checkpoint',
        help='checkpoint of mmspd train, or weights that the authors published: a file, a name '
        'of mmspd weights list, or official',
    )
    parser.add_argument(
        '--out',
        type=output_folder,
        metavar='FOLDER',
        help='write the result to FOLDER instead, and the restored images to FOLDER/images; with '
        'several data sets, each data set has a folder in FOLDER',
    )
    parser.add_argument(
        '--test-on',
        nargs='+',
        metavar='DATASET',
        default=[None],
        help='other data to test on: names of files in configs/_base_/datasets (gopro, hide, '
        'realblur_j, folder_pairs, photos), or paths of such files',
    )
    parser.add_argument(
        '--protocol',
        nargs='+',
        metavar='NAME',
        help='metrics to measure: names of files in configs/_base_/protocols (gopro, '
        'gopro-truncated, realblur-aligned, lpips, no-reference, pixel-difference), or '
        'paths of such files; all named files are combined',
    )
    parser.add_argument(
        '--self-ensemble',
        action='store_true',
        help='average the results for the eight flips and rotations of each image; takes eight '
        'times as long',
    )
    parser.add_argument(
        '--precision',
        choices=list(PRECISIONS),
        help='number format of the computation; the result records it',
    )
    parser.add_argument(
        '--channels-last',
        action='store_true',
        help='use a faster memory layout; the results do not change',
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help='compile the network for each image size, which takes a minute or more per size; '
        'useful for many images',
    )
    parser.add_argument(
        '--tile',
        type=tile_argument,
        metavar='PIXELS',
        help='side of the tiles, or auto, for images that do not fit in the memory; the result '
        'records it; published results are not tiled',
    )
    parser.add_argument(
        '--window',
        type=zero_or_more,
        metavar='PIXELS',
        help='side of the windows that are restored one by one and averaged where they overlap, as '
        'in published results of HINet; 0 for the whole image; the result records it (default: '
        'model.test_cfg.window of the config)',
    )
    return parser.parse_args(argv)


def use_dataset(config: Config, name: str) -> None:
    """Replace the test data and the metrics of a config, in place.

    Args:
        config: The config of the model.
        name: Name or path of a data set file.

    Raises:
        UsageError: The file does not exist or lacks a key.
    """
    path = find_base('datasets', name)
    dataset = read_config(str(path), {})
    for key in REPLACED:
        if key not in dataset:
            raise UsageError(
                f"{path} has no {key}; inherit it from gopro.py with _base_ = '.../gopro.py'."
            )
        config[key] = dataset[key]


def use_protocols(config: Config, names: List[str]) -> None:
    """Replace the metrics of a config with the metrics of protocols, in place.

    Args:
        config: The config.
        names: Names or paths of protocol files.

    Raises:
        UsageError: A file does not exist or has no metrics.
    """
    config.protocol, metrics = read_protocols(names)
    config.test_evaluator = dict(type='mmengine.Evaluator', metrics=metrics)


def use_model_options(config: Config, args: argparse.Namespace) -> None:
    """Set the restoration options of the command line in ``config.model``, in place.

    Args:
        config: The config.
        args: The command line.

    Raises:
        UsageError: The model does not support an option.
    """
    require_keys(config, 'model.type')
    chosen = {name: value for name in MODEL_OPTIONS if (value := getattr(args, name))}
    if args.window is not None:  # 0 replaces the window of the config
        chosen['window'] = args.window
    if not chosen:
        return
    if config.model.type.rpartition('.')[2] != 'SemanticPriorDeblurrer':
        option = next(iter(chosen)).replace('_', '-')
        raise UsageError(
            f'--{option} needs mmspd.SemanticPriorDeblurrer, but model.type is '
            f'{config.model.type}; set model.type to mmspd.SemanticPriorDeblurrer.'
        )
    if chosen.pop('channels_last', False):
        config.model.channels_last = True
    config.merge_from_dict(dict(model=dict(test_cfg=chosen)))


def find_checkpoint(source: str, config: str) -> str:
    """Find the checkpoint or the published weights.

    Args:
        source: The checkpoint, its path or name.
        config: The config, its path or name.

    Returns:
        The path of a file, or of a folder with the parts of published weights.

    Raises:
        UsageError: The file does not exist, or it is a URL or another folder.
    """
    path = find_source(source, config)
    convert = 'mmspd convert official RESTORER'
    if '://' in path:
        raise UsageError(
            f'The checkpoint {path} is not a file; download it, or convert published weights with '
            f'{convert} {path} OUT.pth.'
        )
    if Path(path).is_dir() and not list(Path(path).glob('*.pkl')):
        raise UsageError(
            f'The checkpoint {path} is a folder; give a file in it, or join the six files of DMPHN '
            f'with {convert} {path} OUT.pth.'
        )
    return path


def make_config(args: argparse.Namespace, dataset: Optional[str]) -> Config:
    """Make the config of one test.

    Args:
        args: The command line.
        dataset: Name or path of a data set file, or None for the data of the config.

    Returns:
        The config.

    Raises:
        UsageError: An argument or a file is invalid.
    """
    options = args.cfg_options or {}
    late = {key: options[key] for key in options if key.partition('.')[0] in REPLACED}
    early = {key: options[key] for key in options if key not in late}
    work_dir = args.work_dir if args.out is None else str(args.out)
    changed = dict(vars(args), cfg_options=early, work_dir=work_dir)
    config = prepare_config(argparse.Namespace(**changed))
    if dataset is not None:
        use_dataset(config, dataset)
    if args.protocol is not None:
        use_protocols(config, args.protocol)
    use_model_options(config, args)
    merge_options(config, late, args.config)
    require_keys(config, 'model', 'test_dataloader', 'test_evaluator', 'test_cfg')
    config.resume = False
    config.load_from = args.checkpoint
    return config


def use_result_folder(config: Config, args: argparse.Namespace, dataset: Optional[str]) -> None:
    """Let a test write all its files to one folder: the result, its images and the log.

    Args:
        config: The config of the test, changed in place.
        args: The command line.
        dataset: Name or path of a data set file, or None for the data of the config.

    Raises:
        UsageError: The data does not exist.
    """
    # imported here, so that --help is fast
    from mmspd.evaluation.results_hook import result_folder

    init_default_scope(config.get('default_scope', 'mmengine'))
    tested = DATASETS.build(config.test_dataloader.dataset)
    if args.out is None:
        folder = result_folder(config, tested, config.work_dir, args.checkpoint)
    else:
        folder = Path(args.out, Path(dataset).stem if dataset and len(args.test_on) > 1 else '')
    hook = dict(type='mmspd.ResultsHook', out_dir=str(folder), save_images=args.out is not None)
    config.merge_from_dict(dict(default_hooks=dict(results=hook)))
    config.work_dir = str(folder / 'log')


def main(argv: List[str]) -> None:
    """Test a checkpoint on one or several data sets.

    Args:
        argv: The command-line arguments.

    Raises:
        UsageError: An argument, the config or the data is invalid.
    """
    args = parse_args(argv)
    args.checkpoint = find_checkpoint(args.checkpoint, args.config)
    names = [dataset and Path(dataset).stem for dataset in args.test_on]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f'--test-on names {twice[0]} twice; use files with different names.')
    # check all configs and data before the first test, which may take hours
    configs = [make_config(args, dataset) for dataset in args.test_on]
    for config, dataset in zip(configs, args.test_on):
        use_result_folder(config, args, dataset)
    # imported here, so that --help is fast
    from mmspd.engine.runner import build_runner, leave_distributed

    for config in configs:
        build_runner(config).test()
    leave_distributed()


if __name__ == '__main__':
    run_main(main)
