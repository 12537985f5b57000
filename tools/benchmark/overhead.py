"""Measure what the semantic prior costs: guided / plain in time, computing and memory.

python tools/benchmark/overhead.py unet mimounet mprnet-s1 mssnet --json overhead.json

Plain and guided take turns on the same machine, so that its load leaves their ratio alone. All
networks, the teacher and VGG have random weights: nothing is downloaded. Forward: one float32
image, eager, in both memory formats; its memory is the weights and what PyTorch allocates at
most. Training step: the config's whole step in its precision, from a uint8 batch in memory to the
optimizer, with teacher and losses; its memory is the weights, gradients, optimizer state, teacher,
VGG, batch and activations at the worst moment.
"""

import argparse
import copy
import time
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Mapping

import torch
from common import ConfigPair, add_arguments, find_config_pair, randomize_zero_weights, write_record
from measure import allocated_peak, paired_ratio, summarize, time_in_turns
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import nn
from training_memory import bytes_of, held_bytes
from training_step import build_training, forget_weights, loader_batch

from mmspd.apis.complexity import costs_of_parts
from mmspd.utils.cli import at_least_one, run_main
from mmspd.utils.device import check_device
from mmspd.utils.launch import read_config
from mmspd.utils.tables import text_table

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
RESTORERS = (
    *('unet', 'dmphn', 'deepdeblur', 'deepdeblur6', 'mprnet-s1', 'mprnet'),
    *('mimounet', 'mimounetplus', 'mssnet', 'nafnet', 'restormer'),
)
TEACHERS = ('tresnet_l', 'efficientnet_lite0', 'resnet50', 'mmseg_r50')
FORMATS = {'contiguous': torch.contiguous_format, 'channels_last': torch.channels_last}
#: Seconds for an image, without and with the prior, of Table 1 (one RTX 3090, 720x1280).
PAPER_SECONDS = {
    'unet': (0.086, 0.170),
    'deepdeblur6': (0.117, 0.199),
    'mprnet-s1': (0.031, 0.105),
    'mimounet': (0.019, 0.043),
    'mimounetplus': (0.309, 0.314),
    'mssnet': (0.166, 0.335),
}


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'restorers',
        nargs='*',
        default=RESTORERS,
        metavar='RESTORER',
        help=f'name, or path of a config (default: all of {", ".join(RESTORERS)})',
    )
    parser.add_argument(
        '--size',
        type=at_least_one,
        nargs=2,
        default=(256, 256),
        metavar=('H', 'W'),
        help='of the image of the forward (default: 256 256)',
    )
    parser.add_argument('--crop', type=at_least_one, default=128, help='of the step (default: 128)')
    parser.add_argument('--batch', type=at_least_one, default=1, help='of the step (default: 1)')
    parser.add_argument(
        '--teacher',
        choices=('config', 'none', *TEACHERS),
        default='config',
        help="of the guided one's step: the config's, none, or another (default: config)",
    )
    add_arguments(parser, rounds=4)
    return parser.parse_args(argv)


def read_twin(path: Path, teacher: str) -> Config:
    """Read a config, without weights and with the teacher that is wanted."""
    config = read_config(str(path), {})
    if 'teacher' in config.model and teacher == 'none':
        del config.model.teacher, config.model.prior_loss
    elif 'teacher' in config.model and teacher != 'config':
        base = read_config(str(CONFIGS / f'_base_/teachers/{teacher}.py'), {})
        config.model.teacher = base.teacher
    forget_weights(config)
    return config


def compare(plain: List[float], guided: List[float]) -> Dict[str, Any]:
    """Seconds of both, their spread, and the ratio of the pairs."""
    return dict(
        plain=summarize(plain)._asdict(),
        guided=summarize(guided)._asdict(),
        ratio=paired_ratio(guided, plain)._asdict(),
    )


def compare_sizes(plain: int, guided: int) -> Dict[str, Any]:
    """Two sizes and their ratio."""
    return dict(plain=plain, guided=guided, ratio=guided / plain)


def measure_forward(
    generators: Mapping[str, nn.Module], args: argparse.Namespace, device: torch.device
) -> Dict[str, Any]:
    """Compare the forward of one image in every memory format; memory in bytes, time in seconds."""
    found: Dict[str, Any] = {}
    for name, memory_format in FORMATS.items():
        image = torch.rand(1, 3, *args.size, device=device).contiguous(memory_format=memory_format)
        runs = {}
        for twin, generator in generators.items():
            generator = copy.deepcopy(generator).eval().to(memory_format=memory_format)
            runs[twin] = partial(torch.no_grad()(generator), image)
        peaks = {
            twin: allocated_peak(run, device) + bytes_of(*generators[twin].parameters())
            for twin, run in runs.items()
        }
        times = time_in_turns(runs, device, args.rounds, warm_up=0)  # warm since the peaks
        found[name] = dict(seconds=compare(**times), memory=compare_sizes(**peaks))
    return found


def measure_step(
    trained: Mapping[str, Any], args: argparse.Namespace, device: torch.device
) -> Dict[str, Any]:
    """Compare the training step; memory in bytes, time in seconds."""
    batch = loader_batch(args.batch, args.crop)
    runs = {
        twin: partial(model.train_step, batch, wrapper)
        for twin, (model, wrapper) in trained.items()
    }
    peaks = {twin: allocated_peak(runs[twin], device) + held_bytes(*trained[twin]) for twin in runs}
    times = time_in_turns(runs, device, args.rounds, warm_up=0)
    return dict(seconds=compare(**times), memory=compare_sizes(**peaks))


def measure(twins: ConfigPair, args: argparse.Namespace, device: torch.device) -> Dict[str, Any]:
    """Compare a restorer with its guided twin in every way."""
    trained = {
        twin: build_training(read_twin(path, args.teacher), device)
        for twin, path in (('plain', twins.plain), ('guided', twins.guided))
    }
    generators = {
        twin: randomize_zero_weights(model.generator) for twin, (model, _) in trained.items()
    }
    costs = {
        twin: costs_of_parts(generator, *args.size)['total']
        for twin, generator in generators.items()
    }
    seconds = PAPER_SECONDS.get(twins.name)
    return dict(
        restorer=twins.name,
        macs=compare_sizes(**{twin: cost.macs for twin, cost in costs.items()}),
        parameters=compare_sizes(**{twin: cost.parameters for twin, cost in costs.items()}),
        forward=measure_forward(generators, args, device),
        step=measure_step(trained, args, device),
        paper=None if seconds is None else compare_sizes(*seconds),
    )


def table_row(found: Dict[str, Any]) -> List[str]:
    """The cells of a restorer."""

    def ratio(part: Dict[str, Any]) -> str:
        value = part['ratio']
        if not isinstance(value, dict):
            return f'{value:.3f}'
        return f'{value["median"]:.3f} ({value["low"]:.3f}-{value["high"]:.3f})'

    forwards = [found['forward'][name] for name in FORMATS]
    paper = found['paper']
    return [
        found['restorer'],
        f'{1e3 * forwards[0]["seconds"]["plain"]["median"]:.1f}',
        *(ratio(forward['seconds']) for forward in forwards),
        '-' if paper is None else f'{paper["ratio"]:.2f}',
        ratio(found['macs']),
        ratio(found['parameters']),
        ratio(forwards[0]['memory']),
        f'{1e3 * found["step"]["seconds"]["plain"]["median"]:.1f}',
        ratio(found['step']['seconds']),
        ratio(found['step']['memory']),
    ]


HEADER = (
    *('restorer', 'forward, ms', 'guided/plain', 'channels_last', 'paper', 'MACs', 'parameters'),
    *('memory', 'step, ms', 'step', 'step memory'),
)


def main(argv: List[str]) -> None:
    """Measure, print a table and write the figures."""
    args = parse_args(argv)
    device = check_device(args.device)
    pairs = [find_config_pair(restorer, CONFIGS / 'spd') for restorer in args.restorers]
    MMLogger.get_current_instance().setLevel('WARNING')
    found = []
    for twins in pairs:
        start = time.perf_counter()
        found.append(measure(twins, args, device))
        print(f'{twins.name}: measured in {time.perf_counter() - start:.0f} s', flush=True)
    print(
        f'\nguided / plain, median (quartiles) of {args.rounds} pairs; forward at '
        f'{args.size[0]}x{args.size[1]}, step at {args.batch} x {args.crop}x{args.crop} with '
        f'teacher {args.teacher}; {device.type}, {torch.get_num_threads()} threads\n'
    )
    print(text_table(HEADER, [table_row(row) for row in found]))
    if args.json:
        write_record(args.json, device, found, argv)


if __name__ == '__main__':
    run_main(main)
