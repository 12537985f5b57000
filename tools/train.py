#!/usr/bin/env python
"""Train a model: ``python tools/train.py CONFIG``."""

import argparse
import logging
from typing import List

from mmengine.config import Config

from mmspd.errors import UserError
from mmspd.utils.cli import run_main
from mmspd.utils.launch import add_common_arguments, check_file, prepare_config


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Train a model.')
    add_common_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue a run, from CHECKPOINT or from the newest one in the work folder',
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate with the batch, by the config's auto_scale_lr",
    )
    return parser.parse_args(argv)


def prepare_resume(config: Config, checkpoint: str) -> None:
    """Resume from a file, or ('auto') from the newest checkpoint, else start as the config says."""
    config.resume = True
    start, config.load_from = config.get('load_from'), checkpoint
    if checkpoint != 'auto':
        return
    config.load_from = None
    if start is not None:
        hook = config.default_hooks.checkpoint
        if hook.type != 'mmspd.CheckpointHook':
            raise UserError(
                f'--resume with load_from needs mmspd.CheckpointHook instead of {hook.type}: '
                'name the checkpoint after --resume, or set default_hooks.checkpoint.type'
            )
        hook.start_from = start


def warn_of_batch(config: Config) -> None:
    """Say in the log where the batch is not that which the learning rate is meant for."""
    scale = config.get('auto_scale_lr') or {}
    meant, size = scale.get('base_batch_size'), config.train_dataloader.get('batch_size')
    if meant is None or size is None or scale.get('enable'):
        return
    # imported late: --help should not wait for it
    from mmengine.dist import get_world_size
    from mmengine.logging import print_log

    accumulated = config.optim_wrapper.get('accumulative_counts', 1)
    batch = size * get_world_size() * accumulated
    if batch == meant:
        return
    cures = ['--auto-scale-lr'] if accumulated == 1 else []
    if batch < meant:
        cures.append('a larger optim_wrapper.accumulative_counts')
    elif accumulated > 1:
        cures.append('a smaller optim_wrapper.accumulative_counts')
    print_log(
        f'A step has {batch} images and the learning rate is meant for {meant}: '
        f'{" or ".join(cures)} makes up for it.',
        'current',
        logging.WARNING,
    )


def main(argv: List[str]) -> None:
    """Train as the command line says."""
    args = parse_args(argv)
    if args.resume not in (None, 'auto'):
        check_file(args.resume, 'checkpoint')
    config = prepare_config(args)
    if config.get('load_from') and '://' not in config.load_from:
        check_file(config.load_from, 'checkpoint of load_from')
    if args.resume is not None:
        prepare_resume(config, args.resume)
    if args.amp:
        from mmspd.engine.mixed_precision import use_mixed_precision

        print(f'mixed precision: {use_mixed_precision(config)}')
    if args.auto_scale_lr:
        if 'base_batch_size' not in (config.get('auto_scale_lr') or {}):
            raise UserError(
                f'--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in {args.config}: '
                'add the batch size that its learning rate is meant for'
            )
        config.auto_scale_lr.enable = True
    # late: --help should not wait for it
    from mmspd.engine.runner import build_runner, leave_distributed

    runner = build_runner(config)
    warn_of_batch(config)
    runner.train()
    leave_distributed()


if __name__ == '__main__':
    run_main(main)
