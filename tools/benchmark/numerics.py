"""Train a short recipe in several ways and seeds, and compare how well the results restore.

python tools/benchmark/numerics.py configs/spd/quickstart.py --steps 200 --seeds 3

Every run is one of the real Runner: the config's data, losses, optimizer and schedule, the latter
shortened to the steps. Of each way, the PSNR of the last validation is told as mean and standard
deviation over the seeds, and so is its difference from float32 with the same seed.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import torch
from common import write_record
from mmengine.config import Config
from training_step import VARIANTS, use_variant

from mmspd.engine.runner import build_runner
from mmspd.errors import UserError
from mmspd.utils.cli import run_main
from mmspd.utils.launch import add_cfg_options, read_config
from mmspd.utils.tables import text_table

REFERENCE = 'float32'


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file, e.g. configs/spd/quickstart.py')
    parser.add_argument('--steps', type=int, default=200, help='of every run (default: 200)')
    parser.add_argument('--seeds', type=int, default=3, help='runs of every way (default: 3)')
    parser.add_argument(
        '--variants',
        nargs='+',
        choices=[name for name in VARIANTS if name != REFERENCE],
        default=['bfloat16', 'fast', 'compile'],
        help='ways to train beside float32 (default: bfloat16 fast compile)',
    )
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/numerics'), help='for the logs'
    )
    parser.add_argument('--json', type=Path, help='write all figures to this file')
    add_cfg_options(parser)
    return parser.parse_args(argv)


def shorten(config: Config, steps: int) -> None:
    """Train for some steps, validate once in the end and save nothing."""
    config.train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=steps, val_interval=steps)
    config.param_scheduler = dict(
        type='mmengine.CosineAnnealingLR', by_epoch=False, T_max=steps, eta_min_ratio=0.01
    )
    config.log_processor.by_epoch = False
    config.default_hooks.checkpoint.update(
        by_epoch=False, interval=-1, save_best=None, save_last=False
    )
    # such a loop starts its workers anew for every epoch
    config.train_dataloader.update(num_workers=0, persistent_workers=False)


def train(args: argparse.Namespace, variant: str, seed: int) -> Tuple[float, float]:
    """Make one run and return the PSNR of its validation and its time in seconds."""
    config = read_config(args.config, args.cfg_options or {})
    shorten(config, args.steps)
    use_variant(config, variant)
    config.randomness.seed = seed
    config.log_level = 'WARNING'
    config.work_dir = str(args.work_dir / f'{variant}_{seed}')
    config.experiment_name = f'numerics_{variant}_{seed}_{time.time_ns()}'
    start = time.perf_counter()
    runner = build_runner(config)
    runner.train()
    return runner.message_hub.get_scalar('val/PSNR').current(), time.perf_counter() - start


def spread(values: List[float]) -> str:
    """Write mean and standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f'{statistics.mean(values):.3f} +- {deviation:.3f}'


def main(argv: List[str]) -> None:
    """Train, compare and print."""
    args = parse_args(argv)
    for name in ('steps', 'seeds'):
        if getattr(args, name) < 1:
            raise UserError(f'--{name} {getattr(args, name)}: give a number from 1 on')
    names = [REFERENCE, *args.variants]
    found: Dict[str, Dict[str, Any]] = {name: dict(psnr=[], seconds=[]) for name in names}
    for seed in range(args.seeds):  # in turns, so that an interrupted comparison is a fair one
        for name in names:
            psnr, seconds = train(args, name, seed)
            found[name]['psnr'].append(psnr)
            found[name]['seconds'].append(seconds)
    rows = []
    for name, runs in found.items():
        runs['off'] = [a - b for a, b in zip(runs['psnr'], found[REFERENCE]['psnr'])]
        runs['settings'] = VARIANTS[name]
        rows.append([name, spread(runs['psnr']), spread(runs['off'])])
    print(f'{args.config}: {args.steps} steps, {args.seeds} seeds')
    print(text_table(['', 'PSNR, dB', 'off float32, dB'], rows))
    if args.json:
        device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        figures = dict(config=args.config, steps=args.steps, variants=found)
        write_record(args.json, device, figures, argv)


if __name__ == '__main__':
    run_main(main)
