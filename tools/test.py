#!/usr/bin/env python
"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``."""

import argparse
from pathlib import Path
from typing import Any, Dict, List, Optional

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmspd.errors import UserError
from mmspd.registry import DATASETS
from mmspd.utils.cli import run_main, tile_argument
from mmspd.utils.launch import (
    add_common_arguments,
    check_file,
    merge_options,
    prepare_config,
    read_config,
)
from mmspd.utils.precision import PRECISIONS

BASES = Path(__file__).resolve().parents[1] / 'configs' / '_base_'
#: What a data set's file replaces in a config.
REPLACED = ('test_dataloader', 'test_evaluator', 'protocol')
MODEL_OPTIONS = ('self_ensemble', 'precision', 'channels_last', 'compile', 'tile')


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Evaluate a checkpoint. The result, with the values of every image and what '
        'they depend on, is written to WORK_DIR/results; tools/analysis/compare.py compares two.',
    )
    add_common_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint file of tools/train.py, or published one')
    parser.add_argument(
        '--out',
        metavar='FOLDER',
        help='write the result to FOLDER instead, and the restored images to FOLDER/images; with '
        'several data sets, to a folder in it for each',
    )
    parser.add_argument(
        '--test-on',
        nargs='+',
        metavar='DATASET',
        default=[None],
        help='test on other data: names of files in configs/_base_/datasets (gopro, hide, '
        'realblur_j, folder_pairs, photos), or paths of such files',
    )
    parser.add_argument(
        '--protocol',
        nargs='+',
        metavar='NAME',
        help='what to measure: names of files in configs/_base_/protocols (gopro, '
        'realblur-aligned, lpips, no-reference), or paths of such files; several are joined',
    )
    parser.add_argument(
        '--self-ensemble',
        action='store_true',
        help='average over the eight flips and rotations of each image, in eight times the time',
    )
    parser.add_argument(
        '--precision',
        choices=list(PRECISIONS),
        help='what the network computes in; the result says so',
    )
    parser.add_argument(
        '--channels-last', action='store_true', help='the faster memory layout, of equal results'
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help='compile the network for each size of image, a minute or more each: for many images',
    )
    parser.add_argument(
        '--tile',
        type=tile_argument,
        metavar='PIXELS',
        help='restore in tiles of this side, or auto, for what the memory does not hold whole; the '
        'result says so, and no published table does it',
    )
    return parser.parse_args(argv)


def find_base(kind: str, name: str) -> Path:
    """Find a file of ``configs/_base_/KIND`` by its name or path."""
    if name.endswith('.py'):
        return Path(check_file(name, f'{kind} file'))
    path = BASES / kind / f'{name.replace("-", "_")}.py'
    if not path.is_file():
        known = ', '.join(sorted(file.stem for file in path.parent.glob('*.py')))
        raise UserError(f'there is no {name!r} among the {kind} ({known}): name one, or a file')
    return path


def use_dataset(config: Config, name: str) -> None:
    """Replace the config's test data and what is measured by those of a data set's file."""
    path = find_base('datasets', name)
    dataset = read_config(str(path), {})
    for key in REPLACED:
        if key not in dataset:
            raise UserError(
                f"{path} has no {key}: take over what it lacks with _base_ = '.../gopro.py'"
            )
        config[key] = dataset[key]


def use_protocols(config: Config, names: List[str]) -> None:
    """Replace what is measured by the metrics of some protocols."""
    metrics = []
    paths = sorted({find_base('protocols', name) for name in names}, key=lambda path: path.stem)
    for path in paths:
        variable = f'{path.stem.replace("-", "_")}_metrics'
        protocol = read_config(str(path), {})
        if variable not in protocol:
            raise UserError(f'{path} is no protocol: it has to define {variable} = [...]')
        # protocols may share a metric, which is then measured once
        metrics += [metric for metric in protocol[variable] if metric not in metrics]
    config.protocol = '+'.join(path.stem.replace('_', '-') for path in paths)
    config.test_evaluator = dict(type='mmengine.Evaluator', metrics=metrics)


def use_model_options(config: Config, args: argparse.Namespace) -> None:
    """Tell the model how to restore."""
    chosen = {name: value for name in MODEL_OPTIONS if (value := getattr(args, name))}
    if not chosen:
        return
    if config.model.type.rpartition('.')[2] != 'SemanticPriorDeblurrer':
        option = next(iter(chosen)).replace('_', '-')
        raise UserError(
            f'--{option} is known to mmspd.SemanticPriorDeblurrer alone, and the model of '
            f'the config is {config.model.type}: put its generator into one'
        )
    if chosen.pop('channels_last', False):
        config.model.channels_last = True
    config.merge_from_dict(dict(model=dict(test_cfg=chosen)))


def check_checkpoint(path: str) -> None:
    """Refuse what is no file.

    Raises:
        UserError: It is missing, or published weights of another form.
    """
    convert = 'tools/model_converters/official2mmspd.py RESTORER'
    if '://' in path:
        raise UserError(
            f'the checkpoint {path} is no file: download it, or make a file of published weights '
            f'by {convert} {path} OUT.pth'
        )
    if Path(path).is_dir():
        raise UserError(
            f'the checkpoint {path} is a folder: name the file in it, or make one of the six of '
            f'DMPHN by {convert} {path} OUT.pth'
        )
    check_file(path, 'checkpoint')


def make_config(args: argparse.Namespace, dataset: Optional[str]) -> Config:
    """Make the config of one test, on the config's own data or on another data set."""
    options = args.cfg_options or {}
    late = {key: options[key] for key in options if key.partition('.')[0] in REPLACED}
    early = {key: options[key] for key in options if key not in late}
    config = prepare_config(argparse.Namespace(**{**vars(args), 'cfg_options': early}))
    if dataset is not None:
        use_dataset(config, dataset)
    if args.protocol is not None:
        use_protocols(config, args.protocol)
    use_model_options(config, args)
    merge_options(config, late, args.config)
    config.resume = False
    config.load_from = args.checkpoint
    hook: Dict[str, Any] = dict(type='mmspd.ResultsHook')
    if args.out is not None:
        name = Path(dataset).stem if dataset and len(args.test_on) > 1 else ''
        hook.update(out_dir=str(Path(args.out, name)), save_images=True)
    config.merge_from_dict(dict(default_hooks=dict(results=hook)))
    return config


def main(argv: List[str]) -> None:
    """Test as the command line says."""
    args = parse_args(argv)
    check_checkpoint(args.checkpoint)
    names = [dataset and Path(dataset).stem for dataset in args.test_on]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f'--test-on names {twice[0]} twice: give each data set a name of its own')
    # all configs and data first: what is wrong should not be found after hours
    configs = [make_config(args, dataset) for dataset in args.test_on]
    if len(configs) > 1:
        for config in configs:
            init_default_scope(config.get('default_scope', 'mmengine'))
            DATASETS.build(config.test_dataloader.dataset)
    # late: --help should not wait for it
    from mmspd.engine.runner import build_runner, leave_distributed

    for config in configs:
        build_runner(config).test()
    leave_distributed()


if __name__ == '__main__':
    run_main(main)
