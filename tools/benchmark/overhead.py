"""Measure the cost of the semantic prior: guided / plain in time, computation and memory.

python tools/benchmark/overhead.py unet mimounet mprnet-s1 mssnet --json overhead.json

Plain and guided networks take turns, so that ratios are reliable on a busy machine. All networks,
the teacher and VGG have random weights. The tool downloads no files.

The forward pass restores one float32 image in eager mode. It is measured in the contiguous and in
the channels-last memory format. Its memory is the size of the weights plus the peak of PyTorch's
allocations.

The training step runs in the precision of the config, from a uint8 batch in memory to the
optimizer, with teacher and losses. Its memory is the peak of weights, gradients, optimizer state,
teacher, VGG, batch and activations.
"""

import argparse
import copy
import time
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Mapping

import torch
from common import (
    CONFIGS,
    ConfigPair,
    add_configs,
    find_config_pair,
    make_parser,
    randomize_zero_weights,
    write_record,
)
from measure import (
    Spread,
    allocated_peak,
    clock_for,
    paired_ratio,
    summarize,
    time_in_turns,
)
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import nn
from training_step import build_training, bytes_of, held_bytes, loader_batch, randomize_weights

from mmspd.apis.complexity import costs_of_parts
from mmspd.evaluation.paper_tables import paper_seconds
from mmspd.utils.cli import at_least_one, run_main
from mmspd.utils.device import check_device
from mmspd.utils.launch import read_config
from mmspd.utils.tables import text_table

TEACHERS = {path.stem: path for path in sorted((CONFIGS / '_base_' / 'teachers').glob('*.py'))}
FORMATS = {'contiguous': torch.contiguous_format, 'channels_last': torch.channels_last}
HEADER = (
    *('restorer', 'forward, ms', 'guided/plain', 'channels_last', 'paper', 'MACs', 'parameters'),
    *('memory', 'step, ms', 'step', 'step memory'),
)


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, rounds=4)
    add_configs(parser)
    parser.add_argument(
        '--size',
        type=at_least_one,
        nargs=2,
        default=(256, 256),
        metavar=('H', 'W'),
        help='image size for the forward pass (default: 256 256)',
    )
    parser.add_argument(
        '--crop',
        type=at_least_one,
        default=128,
        help='crop size of the training step (default: 128)',
    )
    parser.add_argument(
        '--batch', type=at_least_one, default=1, help='batch size of the training step (default: 1)'
    )
    parser.add_argument(
        '--teacher',
        choices=('config', 'none', *TEACHERS),
        default='config',
        help="teacher of the guided training step; 'config' means the config's teacher (default: "
        'config)',
    )
    return parser.parse_args(argv)


def read_random_config(path: Path, teacher: str) -> Config:
    """Read a config, and set random weights and the teacher that ``--teacher`` selects.

    Args:
        path: Config.
        teacher: Value of ``--teacher``: ``'config'``, ``'none'`` or a key of ``TEACHERS``.
    """
    config = read_config(str(path), {})
    if 'teacher' in config.model and teacher == 'none':
        del config.model.teacher, config.model.prior_loss
    elif 'teacher' in config.model and teacher != 'config':
        config.model.teacher = read_config(str(TEACHERS[teacher]), {})['teacher']
    randomize_weights(config)
    return config


def compare(plain: List[float], guided: List[float]) -> Dict[str, Spread]:
    """Return the spreads of two series, and of the ratios guided / plain.

    Args:
        plain: Seconds without the prior.
        guided: Seconds with the prior, in the same turns.
    """
    return dict(plain=summarize(plain), guided=summarize(guided), ratio=paired_ratio(guided, plain))


def compare_sizes(plain: float, guided: float) -> Dict[str, float]:
    """Return two sizes and their ratio, guided / plain.

    Args:
        plain: Size without the prior.
        guided: Size with the prior.
    """
    return dict(plain=plain, guided=guided, ratio=guided / plain)


def measure_forward(
    generators: Mapping[str, nn.Module], args: argparse.Namespace, device: torch.device
) -> Dict[str, Any]:
    """Compare the forward passes of the two networks in every memory format.

    Args:
        generators: A dict with the networks ``plain`` and ``guided``.
        args: Command line.
        device: Device of the networks.

    Returns:
        A dict from each memory format to a dict with ``seconds`` and ``memory`` (bytes).
    """
    results: Dict[str, Any] = {}
    for name, memory_format in FORMATS.items():
        image = torch.rand(1, 3, *args.size, device=device).contiguous(memory_format=memory_format)
        forwards = {}
        for network, generator in generators.items():
            generator = copy.deepcopy(generator).eval().to(memory_format=memory_format)
            forwards[network] = partial(torch.no_grad()(generator), image)
        peaks = {
            network: allocated_peak(forward, device) + bytes_of(*generators[network].parameters())
            for network, forward in forwards.items()
        }
        # allocated_peak has already warmed up the networks
        clock = clock_for(device)
        times = time_in_turns(forwards, device, args.rounds, warm_up=0, clock=clock)
        results[name] = dict(seconds=compare(**times), memory=compare_sizes(**peaks))
    return results


def measure_step(
    trained: Mapping[str, Any], args: argparse.Namespace, device: torch.device
) -> Dict[str, Any]:
    """Compare the training steps of the plain and the guided model.

    Args:
        trained: A dict from ``plain`` and ``guided`` to the model and its optimizer wrapper.
        args: Command line.
        device: Device of the models.

    Returns:
        A dict with ``seconds`` and ``memory`` (bytes).
    """
    batch = loader_batch(args.batch, args.crop)
    steps = {
        network: partial(model.train_step, batch, wrapper)
        for network, (model, wrapper) in trained.items()
    }
    peaks = {
        network: allocated_peak(step, device) + held_bytes(*trained[network])
        for network, step in steps.items()
    }
    times = time_in_turns(steps, device, args.rounds, warm_up=0, clock=clock_for(device))
    return dict(seconds=compare(**times), memory=compare_sizes(**peaks))


def measure(pair: ConfigPair, args: argparse.Namespace, device: torch.device) -> Dict[str, Any]:
    """Compare a restorer with and without the prior.

    Args:
        pair: Configs of the restorer.
        args: Command line.
        device: Device of the networks.

    Returns:
        A dict with ``restorer``, ``macs``, ``parameters``, ``forward``, ``step``, and ``paper``:
        the run times in the paper, or None.
    """
    trained = {
        network: build_training(read_random_config(path, args.teacher), device)
        for network, path in (('plain', pair.plain), ('guided', pair.guided))
    }
    generators = {
        network: randomize_zero_weights(model.generator) for network, (model, _) in trained.items()
    }
    costs = {
        network: costs_of_parts(generator, *args.size)['total']
        for network, generator in generators.items()
    }
    seconds = paper_seconds(pair.name)
    return dict(
        restorer=pair.name,
        macs=compare_sizes(**{network: cost.macs for network, cost in costs.items()}),
        parameters=compare_sizes(**{network: cost.parameters for network, cost in costs.items()}),
        forward=measure_forward(generators, args, device),
        step=measure_step(trained, args, device),
        paper=None if seconds is None else compare_sizes(*seconds),
    )


def table_row(row: Dict[str, Any]) -> List[str]:
    """Return the cells of a table row.

    Args:
        row: A dict from :func:`measure`.
    """
    step, contiguous = row['step'], row['forward']['contiguous']
    return [
        row['restorer'],
        f'{1e3 * contiguous["seconds"]["plain"].median:.1f}',
        *(row['forward'][name]['seconds']['ratio'].text(3) for name in FORMATS),
        '-' if row['paper'] is None else f'{row["paper"]["ratio"]:.2f}',
        *(f'{row[key]["ratio"]:.3f}' for key in ('macs', 'parameters')),
        f'{contiguous["memory"]["ratio"]:.3f}',
        f'{1e3 * step["seconds"]["plain"].median:.1f}',
        step['seconds']['ratio'].text(3),
        f'{step["memory"]["ratio"]:.3f}',
    ]


def report(results: List[Dict[str, Any]]) -> str:
    """Return the table of all measurements, and what its columns mean.

    Args:
        results: Dicts of :func:`measure`.
    """
    return (
        f'{text_table(HEADER, [table_row(row) for row in results])}\n\n'
        'The times in ms are those without the prior; the other columns are guided / plain. The\n'
        'columns from guided/plain to memory belong to the forward pass.'
    )


def main(argv: List[str]) -> None:
    """Measure, print a table and write the results."""
    args = parse_args(argv)
    device = check_device(args.device)
    pairs = [find_config_pair(config) for config in args.configs]
    MMLogger.get_current_instance().setLevel('WARNING')
    results = []
    for pair in pairs:
        start = time.perf_counter()
        results.append(measure(pair, args, device))
        print(f'Measured {pair.name} in {time.perf_counter() - start:.0f} s.', flush=True)
        if args.json:  # after each restorer, so that a stopped run keeps its results
            write_record(args.json, device, results, argv)
    print(
        f'\nMedian (quartiles) of {args.rounds} pairs, on {device.type} with '
        f'{torch.get_num_threads()} threads. Forward: {args.size[0]}x{args.size[1]}. Step: '
        f'{args.batch} x {args.crop}x{args.crop}, teacher {args.teacher}.\n'
    )
    print(report(results))


if __name__ == '__main__':
    run_main(main)
