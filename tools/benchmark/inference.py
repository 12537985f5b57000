"""Compare the speed of DeblurInferencer with that of a plain loop over the same network.

python tools/benchmark/inference.py mimounet unet --sizes 256x256 --precision float32 bfloat16

The time of DeblurInferencer is from the uint8 pixels of a photo to the uint8 pixels of the restored
photo. Reading and writing files is not included. The reference is a loop in the form of the
official test scripts: float32 without TF32, eager, contiguous, one image at a time, clamped and
copied to the CPU. All variants have the same random weights and take turns, so that ratios are
reliable on a busy machine. The tool compares every output with the output of the reference, and
fails if the difference is too large.
"""

import argparse
import copy
import math
from functools import partial
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import torch
from common import (
    ConfigPair,
    add_configs,
    find_config_pair,
    make_parser,
    make_photo,
    randomize_zero_weights,
    write_record,
)
from measure import (
    allocated_peak,
    clock_for,
    paired_ratio,
    summarize,
    time_in_turns,
)
from mmengine.logging import MMLogger
from torch import nn

from mmspd.apis import DeblurInferencer
from mmspd.apis.complexity import cost_of
from mmspd.apis.inferencer import RestoreOptions
from mmspd.models.guided import as_list
from mmspd.utils.cli import run_main, size_argument
from mmspd.utils.device import check_device
from mmspd.utils.launch import read_config
from mmspd.utils.precision import PRECISIONS, convolutions
from mmspd.utils.psnr import psnr
from mmspd.utils.tables import text_table

REFERENCE = 'reference'
COMPILED = ' compiled'
#: Largest number of programs that PyTorch compiles per function, over all networks and sizes.
MOST_PROGRAMS = 100
#: Largest accepted difference from the output of the reference, as a share of the change that the
#: network makes to the photo. Half precision gave 1.5 %. If the prior is missing, the
#: difference is 10 % or more.
LARGEST_ERROR = 0.05
HEADER = (
    *('network', 'size', 'variant', 'ms (quartiles)', 'images/s', 'peak MiB'),
    *('speed-up (quartiles)', 'guided/plain', 'PSNR', 'max diff', 'error, %'),
)


class Variant(NamedTuple):
    """A way to restore a photo.

    Attributes:
        network: ``'plain'`` or ``'guided'``.
        name: ``'reference'``, or the precision of the inferencer. ``' compiled'`` is appended if
            the network is compiled.
    """

    network: str
    name: str


Variants = Dict[Variant, Callable[[np.ndarray], np.ndarray]]


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, rounds=5)
    add_configs(parser)
    parser.add_argument(
        '--sizes',
        type=size_argument,
        nargs='+',
        default=[(256, 256)],
        metavar='HxW',
        help='sizes of the photo (default: 256x256)',
    )
    parser.add_argument(
        '--precision',
        nargs='+',
        choices=PRECISIONS,
        default=['float32', 'bfloat16'],
        help='precisions of the inferencer (default: float32 bfloat16)',
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help='measure compiled networks too; compiling each network takes minutes',
    )
    return parser.parse_args(argv)


@torch.no_grad()
@convolutions(tf32=False)
def official_loop(generator: nn.Module, device: torch.device, pixels: np.ndarray) -> np.ndarray:
    """Restore a photo as the official test scripts do.

    Args:
        generator: Network.
        device: Device of the network.
        pixels: Photo ``(H, W, 3)``, uint8.

    Returns:
        Restored photo ``(H, W, 3)``, uint8.
    """
    image = torch.from_numpy(pixels.transpose(2, 0, 1) / np.float32(255)).unsqueeze(0).to(device)
    restored = as_list(generator(image))[-1].clamp(0, 1)
    return np.rint(restored[0].cpu().numpy().transpose(1, 2, 0) * 255).astype(np.uint8)


def build_variants(pair: ConfigPair, args: argparse.Namespace, device: torch.device) -> Variants:
    """Build the functions that restore a photo with the plain and with the guided network.

    The restorer in the guided network has the weights of the plain network.

    Args:
        pair: Configs of the restorer.
        args: Command line.
        device: Device of the networks.

    Returns:
        A dict from each variant to a function from pixels to restored pixels.
    """
    variants: Variants = {}
    torch.manual_seed(0)
    for network, path in (('plain', pair.plain), ('guided', pair.guided)):
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
        reference = copy.deepcopy(generator).to(memory_format=torch.contiguous_format)
        variants[Variant(network, REFERENCE)] = partial(official_loop, reference, device)
        for precision in args.precision:
            options = RestoreOptions(tile=0, precision=precision)
            for suffix, inferencer in inferencers.items():
                function = partial(inferencer.deblur, options=options)
                variants[Variant(network, precision + suffix)] = function
    return variants


def measure(
    variants: Variants, size: Tuple[int, int], rounds: int, device: torch.device
) -> List[Dict[str, Any]]:
    """Measure all variants of a restorer at one size.

    Args:
        variants: A dict from each variant to its function.
        size: Height and width of the photo.
        rounds: Timed calls of each variant.
        device: Device of the networks.

    Returns:
        A dict for each variant, with measurements in seconds, MACs, bytes and dB.
    """
    photo = make_photo(*size)
    macs = {
        variant.network: cost_of(loop.args[0], *size).macs
        for variant, loop in variants.items()
        if variant.name == REFERENCE
    }
    functions = {variant: partial(function, photo) for variant, function in variants.items()}
    outputs = {variant: function() for variant, function in functions.items()}
    peaks = {
        # a CUDA graph allocates memory when the graph is captured, so its peak is unknown
        variant: None
        if variant.name.endswith(COMPILED) and device.type != 'cpu'
        else allocated_peak(function, device)
        for variant, function in functions.items()
    }
    times = time_in_turns(functions, device, rounds, warm_up=1, clock=clock_for(device))
    rows = []
    for variant, seconds in times.items():
        reference = Variant(variant.network, REFERENCE)
        plain = times[variant._replace(network='plain')]
        spread = summarize(seconds)
        rows.append(
            dict(
                **variant._asdict(),
                size=size,
                seconds=spread,
                macs=macs[variant.network],
                images_per_second=1 / spread.median,
                peak_bytes=peaks[variant],
                speed_up=paired_ratio(times[reference], seconds),
                guided_to_plain=(
                    paired_ratio(seconds, plain) if variant.network == 'guided' else None
                ),
                **compare_outputs(photo, outputs[variant], outputs[reference]),
            )
        )
    return rows


def compare_outputs(
    photo: np.ndarray, output: np.ndarray, reference: np.ndarray
) -> Dict[str, Optional[float]]:
    """Compare an output with the output of the reference.

    Args:
        photo: Input ``(H, W, 3)``, uint8.
        output: Output of a variant, of the same shape.
        reference: Output of the reference, of the same shape.

    Returns:
        A dict with ``psnr`` in dB (None for equal outputs), ``largest_difference`` in [0, 255], and
        ``error``. ``error`` is the root mean square of the difference, divided by the root mean
        square of the change that the reference made to the photo.
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
    """Return the cells of a table row.

    Args:
        row: A dict from :func:`measure`, extended with ``restorer``.
    """
    overhead = row['guided_to_plain']
    return [
        f'{row["restorer"]} {row["network"]}',
        '{}x{}'.format(*row['size']),
        row['name'],
        row['seconds'].text(digits=1, factor=1e3),
        f'{row["images_per_second"]:.2f}',
        '-' if row['peak_bytes'] is None else f'{row["peak_bytes"] / 2**20:.0f}',
        row['speed_up'].text(),
        '' if overhead is None else overhead.text(digits=3),
        'equal' if row['psnr'] is None else f'{row["psnr"]:.1f}',
        str(row['largest_difference']),
        f'{100 * row["error"]:.2f}',
    ]


def report(results: List[Dict[str, Any]]) -> str:
    """Return the table of all measurements, and what its columns mean.

    Args:
        results: Dicts of :func:`measure`, extended with ``restorer``.
    """
    return (
        f'{text_table(HEADER, [table_row(row) for row in results])}\n\n'
        'Speed-up: reference / variant. Peak MiB: memory that PyTorch allocates, without the\n'
        'weights. PSNR, max diff (of 255) and error compare the output with the output of the\n'
        'reference. The error is a share of the change that the reference makes to the photo.'
    )


def main(argv: List[str]) -> None:
    """Measure, print a table, write the results, and fail if an output is wrong.

    Raises:
        RuntimeError: An output differs too much from the output of the reference.
    """
    args = parse_args(argv)
    device = check_device(args.device)
    pairs = [find_config_pair(config) for config in args.configs]
    MMLogger.get_current_instance().setLevel('WARNING')
    torch._dynamo.config.cache_size_limit = MOST_PROGRAMS
    results: List[Dict[str, Any]] = []
    for pair in pairs:
        torch.compiler.reset()
        variants = build_variants(pair, args, device)
        for size in args.sizes:
            rows = measure(variants, size, args.rounds, device)
            results += [dict(restorer=pair.name, **row) for row in rows]
            print(f'Measured {pair.name} at {size[0]}x{size[1]}.', flush=True)
            if args.json:  # after each size, so that a stopped run keeps its results
                write_record(args.json, device, results, argv)
    print(
        f'\nMeasured on {device.type} with {torch.get_num_threads()} threads, {args.rounds} rounds '
        'in turns.\n'
    )
    print(report(results))
    for row in results:
        if row['error'] > LARGEST_ERROR:
            raise RuntimeError(
                f'The output of {row["restorer"]}, {row["network"]}, {row["name"]} differs from '
                f'the reference by {row["error"]:.1%} of the change that the network makes.'
            )


if __name__ == '__main__':
    run_main(main)
