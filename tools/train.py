#!/usr/bin/env python
"""Train a model: ``python tools/train.py CONFIG``."""

import argparse
import logging
from typing import List

from mmengine.config import Config

from mmspd.errors import UsageError
from mmspd.utils.cli import run_main
from mmspd.utils.config_check import require_keys
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
        help='continue a run from CHECKPOINT (default: the readable checkpoint with the highest '
        'number in the work folder)',
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate with the batch size, relative to the config's "
        'auto_scale_lr.base_batch_size',
    )
    return parser.parse_args(argv)


def prepare_resume(config: Config, checkpoint: str) -> None:
    """Set up a config to resume a run, in place.

    Args:
        config: The config of the run.
        checkpoint: The file to resume from. ``'auto'`` means the newest checkpoint. If there is no
            checkpoint, the run starts from the ``load_from`` of the config.

    Raises:
        UsageError: ``checkpoint`` is ``'auto'``, and the config has ``load_from`` and a checkpoint
            hook other than ``mmspd.CheckpointHook``.
    """
    config.resume = True
    start, config.load_from = config.get('load_from'), checkpoint
    if checkpoint != 'auto':
        return
    config.load_from = None
    if start is not None:
        hook = config.default_hooks.checkpoint
        if hook.type != 'mmspd.CheckpointHook':
            raise UsageError(
                f'--resume with load_from needs mmspd.CheckpointHook, not {hook.type}; name a '
                'checkpoint after --resume, or set default_hooks.checkpoint.type to '
                'mmspd.CheckpointHook.'
            )
        hook.start_from = start


def warn_of_batch(config: Config) -> None:
    """Log a warning if the learning rate is meant for another batch size.

    Args:
        config: The config of the run.
    """
    scale = config.get('auto_scale_lr') or {}
    meant, size = scale.get('base_batch_size'), config.train_dataloader.get('batch_size')
    if meant is None or size is None or scale.get('enable'):
        return
    # imported here, so that --help is fast
    from mmengine.dist import get_world_size
    from mmengine.logging import print_log

    accumulated = config.optim_wrapper.get('accumulative_counts', 1)
    batch = size * get_world_size() * accumulated
    if batch == meant:
        return
    fixes = ['--auto-scale-lr'] if accumulated == 1 else []
    if batch < meant:
        fixes.append('a larger optim_wrapper.accumulative_counts')
    elif accumulated > 1:
        fixes.append('a smaller optim_wrapper.accumulative_counts')
    print_log(
        f'A step has {batch} images, but the learning rate is meant for {meant}; use '
        f'{" or ".join(fixes)}.',
        'current',
        logging.WARNING,
    )


def main(argv: List[str]) -> None:
    """Train a model.

    Args:
        argv: The command-line arguments.

    Raises:
        UsageError: An argument or the config is invalid.
    """
    args = parse_args(argv)
    if args.resume not in (None, 'auto'):
        check_file(args.resume, 'checkpoint')
    config = prepare_config(args)
    require_keys(config, 'model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
    if config.get('load_from') and '://' not in config.load_from:
        check_file(config.load_from, 'checkpoint of load_from')
    if args.resume is not None:
        prepare_resume(config, args.resume)
    if args.amp:
        from mmspd.engine.mixed_precision import use_mixed_precision

        print(f'Training in mixed precision ({use_mixed_precision(config)}).')
    if args.auto_scale_lr:
        if 'base_batch_size' not in (config.get('auto_scale_lr') or {}):
            raise UsageError(
                f'--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in {args.config}; '
                'set base_batch_size to the total batch size for which the learning rate was '
                'chosen.'
            )
        config.auto_scale_lr.enable = True
    # imported here, so that --help is fast
    from mmspd.engine.run_folder import enter_run_folder
    from mmspd.engine.runner import build_runner, leave_distributed
    from mmspd.weights.required import locate_required_weights

    finished = enter_run_folder(config)
    if finished is not None:
        print(finished)
        return
    locate_required_weights(config)
    runner = build_runner(config)
    warn_of_batch(config)
    runner.train()
    leave_distributed()


if __name__ == '__main__':
    run_main(main)
