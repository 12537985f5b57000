"""Train a recipe through the runner for a limited time, and measure its speed.

python tools/benchmark/training_run.py quickstart --seconds 60

This measures everything that a training does: loading, augmentation, hooks and logs. The data are
24 photos of 1280x720 pixels with synthetic blur, in a pack. The weights at the start are random,
so do not compare the losses with those of other runs. There are no validations and checkpoints. The
first steps are not measured, because they compile, allocate and tune.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

import cv2
import numpy as np
from common import write_record
from data_loading import make_pairs, open_set
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import Hook
from training_step import VARIANTS, randomize_weights, use_variant

from mmspd.datasets.packs.writer import plan_pack, write_pack
from mmspd.engine.runner import build_runner
from mmspd.errors import UserError
from mmspd.registry import import_sibling
from mmspd.utils.cli import at_least_one, output_file, positive, run_main, zero_or_more
from mmspd.utils.config_check import require_keys
from mmspd.utils.device import check_device
from mmspd.utils.launch import add_cfg_options, read_config
from mmspd.utils.tables import text_table

#: First steps of the run, which are not measured.
WARM_UP = 5
#: Pairs in an epoch. The photos repeat, so that an epoch is not over after three steps.
EPOCH = 4800


class TimeOverError(Exception):
    """The time of the run is over."""


class StopAfter(Hook):
    """Ends the training some seconds after its first iteration has started.

    Args:
        seconds: Duration of the run.
    """

    priority = 'LOWEST'

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end: Optional[float] = None

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Start the clock in the first iteration."""
        if self._end is None:
            self._end = time.monotonic() + self.seconds

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """End the training if the time is over.

        Raises:
            TimeOverError: The time is over.
        """
        assert self._end is not None
        if time.monotonic() > self._end:
            raise TimeOverError


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file, or its name, such as quickstart')
    parser.add_argument(
        '--seconds', type=positive, default=60, help='duration of the training (default: 60)'
    )
    parser.add_argument('--batch', type=at_least_one, help="batch size (default: the config's)")
    parser.add_argument(
        '--workers', type=zero_or_more, default=2, help='workers of the loader (default: 2)'
    )
    parser.add_argument(
        '--variant',
        choices=VARIANTS,
        default='float32',
        help='variant of the training step (default: float32)',
    )
    parser.add_argument('--json', type=output_file, help='write all results to this JSON file')
    add_cfg_options(parser)
    return parser.parse_args(argv)


def make_data(root: Path) -> Dict[str, str]:
    """Write the pairs and their pack.

    Args:
        root: Folder for the files.

    Returns:
        The options of the data set that reads them.
    """
    make_pairs(root / 'pairs')
    plan = plan_pack(open_set(root / 'pairs', []), root / 'pack')
    write_pack(plan)
    return dict(data_root=str(root / 'pairs'), packed=str(plan.path))


def prepare(args: argparse.Namespace, folder: Path) -> Config:
    """Return the config of the run.

    Args:
        args: Command line.
        folder: Folder for the data and the logs.
    """
    config = read_config(args.config, args.cfg_options or {})
    require_keys(config, 'model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
    randomize_weights(config)
    use_variant(config, args.variant)
    data = config.train_dataloader.dataset
    pipeline = data.get('dataset', data).pipeline
    source = make_data(folder)
    pairs = dict(type='mmspd.PairedFolderDataset', pipeline=pipeline, **source)
    count = len(open_set(folder / 'pairs', []))
    loader = config.train_dataloader
    loader.batch_size = args.batch or loader.batch_size
    loader.num_workers, loader.persistent_workers = args.workers, args.workers > 0
    # update() would keep options of the old data set
    loader.dataset = dict(type='mmengine.RepeatDataset', dataset=pairs, times=-(-EPOCH // count))
    for name in ('val', 'test'):
        for part in ('dataloader', 'evaluator', 'cfg'):
            config[f'{name}_{part}'] = None
    config.default_hooks.checkpoint = None  # without None, MMEngine adds its own hook
    config.default_hooks.pop('results', None)
    config.update(work_dir=str(folder / 'run'), load_from=None, resume=False)
    return config


def measure(config: Config, seconds: float) -> Dict[str, Any]:
    """Train, and summarize the log.

    Args:
        config: Config of the run.
        seconds: Duration of the training.

    Returns:
        A dict with the number of measured ``steps``, ``steps_per_second``, ``images_per_second``,
        ``waiting`` (the share of the time in which the host waits for data), and the ``losses`` at
        the start and at the end: the mean of the first and the last tenth of all steps.

    Raises:
        UserError: The time was too short for a measurement.
    """
    runner = build_runner(config)
    runner.register_hook(StopAfter(seconds), priority='LOWEST')
    try:
        runner.train()
    except TimeOverError:
        runner.call_hook('after_train')
    log = {
        name: runner.message_hub.get_scalar(f'train/{name}').data[0]
        for name in ('time', 'data_time', 'loss')
    }
    times, waits = (log[name][WARM_UP:] for name in ('time', 'data_time'))
    if not len(times):
        raise UserError(
            f'Only {len(log["time"])} steps were done in {seconds:g} s; use more --seconds.'
        )
    tenth = max(1, len(log['loss']) // 10)
    speed = len(times) / float(np.sum(times))
    return dict(
        steps=len(times),
        steps_per_second=speed,
        images_per_second=speed * config.train_dataloader.batch_size,
        waiting=float(np.sum(waits) / np.sum(times)),
        losses=[float(np.mean(part)) for part in (log['loss'][:tenth], log['loss'][-tenth:])],
    )


def report(results: Dict[str, Any]) -> str:
    """Return the table of the run.

    Args:
        results: Results of :func:`measure`, with the settings of the run.
    """
    first, last = results['losses']
    cells = {
        'config': results['config'],
        'variant': results['variant'],
        'batch': str(results['batch']),
        'workers': str(results['workers']),
        'steps': str(results['steps']),
        'steps/s': f'{results["steps_per_second"]:.2f}',
        'images/s': f'{results["images_per_second"]:.1f}',
        'waiting for data': f'{100 * results["waiting"]:.1f} %',
        'loss at the start': f'{first:.4f}',
        'at the end': f'{last:.4f}',
    }
    return text_table([*cells], [[*cells.values()]])


def main(argv: List[str]) -> None:
    """Train, print the results and write them."""
    args = parse_args(argv)
    device = check_device(get_device())
    import_sibling('mmagic')
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        config = prepare(args, Path(folder))
        results = measure(config, args.seconds)
    results.update(
        config=args.config,
        variant=args.variant,
        batch=config.train_dataloader.batch_size,
        workers=args.workers,
        seconds=args.seconds,
    )
    print(report(results))
    if args.json:
        write_record(args.json, device, results, argv)


if __name__ == '__main__':
    run_main(main)
