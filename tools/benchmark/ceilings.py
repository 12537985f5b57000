"""Measure the two ceilings of a machine: the speed of copying and of matrix products.

python tools/benchmark/ceilings.py --device cpu

No network can be faster than these speeds, so they show how much of a machine a network uses. The
copy is from and to the memory of the device. Its bytes count twice, because they are read and
written. The matrices are square. Their speed counts two operations for each multiply-accumulate.
The ceiling is the fastest of the rounds, because other work can only slow a machine down.
"""

import argparse
from functools import partial
from typing import Any, Callable, Dict, List, NamedTuple

import torch
from common import make_parser, write_record
from measure import clock_for, summarize, time_in_turns

from mmspd.utils.cli import run_main
from mmspd.utils.device import check_device
from mmspd.utils.tables import text_table

COPY = 'copy'


class Size(NamedTuple):
    """The size of the work on a kind of device.

    Attributes:
        copied: Bytes of the tensor that is copied, more than the caches hold.
        side: Side of the matrices.
        repeats: Calls between two readings of the clock.
    """

    copied: int
    side: int
    repeats: int


SIZES = {'cpu': Size(1 << 28, 2048, 1), 'cuda': Size(1 << 30, 8192, 10)}


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    return make_parser(__doc__, rounds=10).parse_args(argv)


def repeated(function: Callable[[], Any], repeats: int) -> None:
    """Call a function several times.

    Args:
        function: Function to call.
        repeats: Number of calls.
    """
    for _ in range(repeats):
        function()


def multiply(one: torch.Tensor, other: torch.Tensor, out: torch.Tensor, tf32: bool) -> None:
    """Multiply two matrices.

    Args:
        one: Matrix.
        other: Matrix of the same size.
        out: Matrix for the result.
        tf32: Whether CUDA may compute float32 in TF32.
    """
    settings = torch.backends.cuda.matmul
    before = settings.allow_tf32
    settings.allow_tf32 = tf32
    try:
        torch.mm(one, other, out=out)
    finally:
        settings.allow_tf32 = before


def matrix_products(device: torch.device, side: int) -> Dict[str, Callable[[], None]]:
    """Return a function for the product in every precision.

    Args:
        device: Device of the matrices.
        side: Side of the matrices.

    Returns:
        A dict from ``float32``, ``bfloat16`` and, on CUDA, ``tf32`` to a function.
    """
    functions = {}
    for precision in ('float32', 'bfloat16', *(('tf32',) if device.type == 'cuda' else ())):
        dtype = torch.bfloat16 if precision == 'bfloat16' else torch.float32
        matrices = [torch.rand(side, side, device=device).to(dtype) for _ in range(3)]
        functions[precision] = partial(multiply, *matrices, tf32=precision == 'tf32')
    return functions


def measure(device: torch.device, rounds: int) -> Dict[str, Any]:
    """Measure the copy and the matrix products in turns.

    Args:
        device: Device to measure.
        rounds: Timed rounds.

    Returns:
        A dict with ``copy`` in GB/s and ``matrix_product``, a dict from each precision to TFLOP/s.
        Each speed is a dict with ``best`` and the ``spread`` of the rounds.
    """
    size = SIZES[device.type]
    source = torch.rand(size.copied // 4, device=device)
    work: Dict[str, Callable[[], Any]] = {COPY: partial(torch.empty_like(source).copy_, source)}
    work.update(matrix_products(device, size.side))
    amounts = dict.fromkeys(work, 2e-12 * size.side**3)
    amounts[COPY] = 2e-9 * size.copied
    timed = {name: partial(repeated, call, size.repeats) for name, call in work.items()}
    speeds = {}
    times = time_in_turns(timed, device, rounds, clock=clock_for(device))
    for name, seconds in times.items():
        values = [size.repeats * amounts[name] / each for each in seconds]
        speeds[name] = dict(best=max(values), spread=summarize(values))
    return dict(copy=speeds.pop(COPY), matrix_product=speeds, side=size.side)


def report(results: Dict[str, Any]) -> str:
    """Return the table of the speeds.

    Args:
        results: Results of :func:`measure`.
    """
    speeds = [(COPY, 'GB/s', results['copy'])]
    speeds += [
        (f'matrix product, {precision}', 'TFLOP/s', speed)
        for precision, speed in results['matrix_product'].items()
    ]
    rows = [
        [name, unit, f'{speed["best"]:.3g}', speed['spread'].text(3)]
        for name, unit, speed in speeds
    ]
    return text_table(('', 'unit', 'fastest', 'median (quartiles)'), rows)


def main(argv: List[str]) -> None:
    """Measure, print a table and write the results."""
    args = parse_args(argv)
    device = check_device(args.device)
    results = measure(device, args.rounds)
    print(report(results))
    if args.json:
        write_record(args.json, device, results, argv)


if __name__ == '__main__':
    run_main(main)
