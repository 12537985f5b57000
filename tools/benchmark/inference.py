"""Measure how fast photos are deblurred, against a plain loop over the same network.

python tools/benchmark/inference.py mimounet unet --sizes 256x256 --precision float32 bfloat16

Measured is the way from the uint8 pixels of a photo to those of the restored one, by
mmspd.apis.DeblurInferencer, file formats aside. The reference is the same network with the same
weights in a loop as the official projects' tests are written: float32, eager, contiguous, image by
image, clamped and brought to the CPU. All ways take turns on the same machine, so that its load
leaves their ratios alone. The weights are random, and every output is compared with the
reference's: one that differs too much ends in an error.
"""

import argparse
import copy
import itertools
import math
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import torch
from common import (
    ConfigPair,
    add_arguments,
    find_config_pair,
    make_photo,
    randomize_zero_weights,
    write_record,
)
from measure import allocated_peak, paired_ratio, summarize, time_in_turns
from mmengine.logging import MMLogger
from torch import nn

from mmspd.apis import DeblurInferencer
from mmspd.apis.inferencer import RestoreOptions
from mmspd.models.guided import as_list
from mmspd.utils.cli import at_least_one, run_main, size_argument, tile_argument
from mmspd.utils.device import check_device
from mmspd.utils.launch import read_config
from mmspd.utils.precision import PRECISIONS
from mmspd.utils.psnr import psnr
from mmspd.utils.tables import text_table

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'spd'
RESTORERS = ('unet', 'mimounet', 'mprnet-s1', 'mssnet')
REFERENCE = 'reference'
COMPILED = ' compiled'
MOST_PROGRAMS = 100
#: The largest difference from the reference's outputs that passes, as a share of what the network
#: changes in the photo. Half precision made 1.5 %; leaving the prior out makes 10 % and more.
LARGEST_ERROR = 0.05
HEADER = (
    *('network', 'size', 'way', 'ms (quartiles)', 'images/s', 'MPix/s', 'peak MiB'),
    *('speed-up (quartiles)', 'guided/plain', 'PSNR', 'max diff', 'error, %'),
)


class Way(NamedTuple):
    """A way to restore a photo.

    Attributes:
        network: ``'plain'`` or ``'guided'``.
        name: ``'reference'``, or the precision of the inferencer and whether it is compiled.
    """

    network: str
    name: str


Ways = Dict[Way, Callable[[np.ndarray], np.ndarray]]


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'configs',
        nargs='*',
        default=RESTORERS,
        metavar='CONFIG',
        help='name of a restorer, or path of a config; its twin with or without the prior is '
        f'measured too (default: {" ".join(RESTORERS)})',
    )
    parser.add_argument(
        '--sizes',
        type=size_argument,
        nargs='+',
        default=[(256, 256)],
        metavar='HxW',
        help='of the photos (default: 256x256)',
    )
    parser.add_argument(
        '--precision',
        nargs='+',
        choices=PRECISIONS,
        default=['float32', 'bfloat16'],
        help='of the inferencer (default: float32 bfloat16)',
    )
    parser.add_argument(
        '--compile', action='store_true', help='measure a compiled one too; minutes for each'
    )
    parser.add_argument(
        '--tile', type=tile_argument, default=0, help='its tiles (default: 0, the whole photo)'
    )
    parser.add_argument(
        '--batch', type=at_least_one, default=1, help='tiles at a time (default: 1)'
    )
    add_arguments(parser, rounds=5)
    return parser.parse_args(argv)


@torch.no_grad()
def official_loop(generator: nn.Module, device: torch.device, pixels: np.ndarray) -> np.ndarray:
    """Restore a photo as the test loops of the official projects do."""
    image = torch.from_numpy(pixels.transpose(2, 0, 1) / np.float32(255)).unsqueeze(0).to(device)
    restored = as_list(generator(image))[-1].clamp(0, 1)
    return np.rint(restored[0].cpu().numpy().transpose(1, 2, 0) * 255).astype(np.uint8)


def ways_of(twins: ConfigPair, args: argparse.Namespace, device: torch.device) -> Ways:
    """Return the functions that restore a photo, of both networks with equal restorers."""
    ways: Ways = {}
    torch.manual_seed(0)
    for network, path in (('plain', twins.plain), ('guided', twins.guided)):
        config = read_config(str(path), {})
        eager = DeblurInferencer(config, device=device)
        generator = randomize_zero_weights(eager.model.generator)
        if network == 'plain':
            restorer = generator
        else:
            generator.restorer.load_state_dict(restorer.state_dict())
        inferencers = {'': eager}
        if args.compile:
            inferencers[COMPILED] = DeblurInferencer(config, device=device, compile=True)
            inferencers[COMPILED].model.load_state_dict(eager.model.state_dict())
        published = copy.deepcopy(generator).to(memory_format=torch.contiguous_format)
        ways[Way(network, REFERENCE)] = partial(official_loop, published, device)
        for precision, (kind, inferencer) in itertools.product(args.precision, inferencers.items()):
            options = RestoreOptions(tile=args.tile, precision=precision, batch=args.batch)
            ways[Way(network, precision + kind)] = partial(inferencer.deblur, options=options)
    return ways


def measure(
    ways: Ways, size: Tuple[int, int], rounds: int, device: torch.device
) -> List[Dict[str, Any]]:
    """Measure all ways of a restorer at a size; seconds, bytes and dB."""
    photo = make_photo(*size)
    runs = {way: partial(run, photo) for way, run in ways.items()}
    outputs = {way: run() for way, run in runs.items()}
    peaks = {
        # a CUDA graph's memory was allocated when it was recorded
        way: None if graphs_of(way, device) else allocated_peak(run, device)
        for way, run in runs.items()
    }
    times = time_in_turns(runs, device, rounds, warm_up=1)
    megapixels = math.prod(size) / 1e6
    found = []
    for way in ways:
        reference = Way(way.network, REFERENCE)
        taken = summarize(times[way])
        plain = times[way._replace(network='plain')]
        overhead = paired_ratio(times[way], plain)._asdict() if way.network == 'guided' else None
        found.append(
            dict(
                **way._asdict(),
                size=size,
                seconds=taken._asdict(),
                images_per_second=1 / taken.median,
                megapixels_per_second=megapixels / taken.median,
                peak_bytes=peaks[way],
                speed_up=paired_ratio(times[reference], times[way])._asdict(),
                guided_to_plain=overhead,
                **likeness(photo, outputs[way], outputs[reference]),
            )
        )
    return found


def graphs_of(way: Way, device: torch.device) -> bool:
    """Whether a way replays CUDA graphs."""
    return way.name.endswith(COMPILED) and device.type != 'cpu'


def likeness(
    photo: np.ndarray, output: np.ndarray, reference: np.ndarray
) -> Dict[str, Optional[float]]:
    """Compare an output with that of the reference.

    Returns:
        PSNR in dB, None where they are equal; the largest difference, of 255; and the difference
        as a share of what the reference changed in the photo (root mean squares).
    """
    ratio = psnr(output, reference)
    difference = output.astype(float) - reference
    change = reference.astype(float) - photo
    return dict(
        psnr=ratio if math.isfinite(ratio) else None,
        largest_difference=int(np.abs(difference).max()),
        error=float(np.linalg.norm(difference) / np.linalg.norm(change)),
    )


def table_row(row: Dict[str, Any]) -> List[str]:
    """The cells of a measurement."""

    def spread(values: Optional[Dict[str, float]], factor: float = 1, digits: int = 2) -> str:
        if values is None:
            return ''
        middle, low, high = (f'{factor * value:.{digits}f}' for value in values.values())
        return f'{middle} ({low}-{high})'

    return [
        f'{row["restorer"]} {row["network"]}',
        '{}x{}'.format(*row['size']),
        row['name'],
        spread(row['seconds'], 1e3, 1),
        f'{row["images_per_second"]:.2f}',
        f'{row["megapixels_per_second"]:.3f}',
        '-' if row['peak_bytes'] is None else f'{row["peak_bytes"] / 2**20:.0f}',
        spread(row['speed_up']),
        spread(row['guided_to_plain'], digits=3),
        'equal' if row['psnr'] is None else f'{row["psnr"]:.1f}',
        str(row['largest_difference']),
        f'{100 * row["error"]:.2f}',
    ]


def main(argv: List[str]) -> None:
    """Measure, print a table, write the figures, and refuse outputs that are wrong."""
    args = parse_args(argv)
    device = check_device(args.device)
    twins = [find_config_pair(config, CONFIGS) for config in args.configs]
    MMLogger.get_current_instance().setLevel('WARNING')
    found: List[Dict[str, Any]] = []
    for pair in twins:
        if args.compile:
            # PyTorch counts the programs of all networks and sizes together, and stops at a limit
            torch.compiler.reset()
            torch._dynamo.config.cache_size_limit = MOST_PROGRAMS
        ways = ways_of(pair, args, device)
        for size in args.sizes:
            rows = measure(ways, size, args.rounds, device)
            found += [dict(restorer=pair.name, **row) for row in rows]
            print(f'{pair.name} at {size[0]}x{size[1]}: measured', flush=True)
    print(
        f'\n{args.rounds} rounds in turns; speed-up: reference / way; peak: what PyTorch allocates '
        f'beside the weights; PSNR and largest difference (of 255) to the reference; error: as a '
        f'share of what that changes; {device.type}, {torch.get_num_threads()} threads\n'
    )
    print(text_table(HEADER, [table_row(row) for row in found]))
    if args.json:
        write_record(args.json, device, found, argv)
    for row in found:
        if row['error'] > LARGEST_ERROR:
            raise RuntimeError(
                f'the output of {row["restorer"]}, {row["network"]}, {row["name"]} differs from '
                f'that of the reference by {row["error"]:.1%} of what the network changes'
            )


if __name__ == '__main__':
    run_main(main)
