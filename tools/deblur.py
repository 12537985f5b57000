"""Deblur photos and videos: ``python tools/deblur.py CONFIG WEIGHTS INPUT... --out-dir DIR``."""

import argparse
import re
import sys
from typing import List

from mmspd.utils.cli import add_inferencer_arguments, at_least_one, run_main
from mmspd.utils.precision import PRECISIONS

_UNITS = {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30}


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Deblur photos and videos, each into a file of its own kind. After a break, '
        'the same command goes on: what is done is skipped.',
    )
    add_inferencer_arguments(parser)
    parser.add_argument(
        'inputs', nargs='+', metavar='INPUT', help='photo, video, folder of them, or glob pattern'
    )
    parser.add_argument(
        '--out-dir',
        required=True,
        metavar='DIR',
        help='folder for the results, which have the names of the inputs',
    )
    parser.add_argument(
        '--suffix', default='', help='added to the names of the results, e.g. _sharp'
    )
    parser.add_argument(
        '--recursive', action='store_true', help='look into the folders of folders too'
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='make again what is done, replace what is there'
    )
    parser.add_argument(
        '--memory-budget',
        type=_bytes,
        metavar='BYTES',
        help='memory that --tile auto may use, e.g. 4G; by default a share of what is free',
    )
    parser.add_argument(
        '--self-ensemble',
        action='store_true',
        help='restore from eight sides and average, in eight times the time',
    )
    parser.add_argument('--precision', choices=PRECISIONS, default='float32')
    parser.add_argument(
        '--batch',
        type=at_least_one,
        default=1,
        metavar='N',
        help='tiles to restore at a time; may be faster on accelerators',
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help='compile the network, a minute or more for each size of tile: for many photos with '
        '--tile N, and for videos',
    )
    return parser.parse_args(argv)


def _bytes(text: str) -> int:
    """Read a number of bytes, such as 4G."""
    match = re.fullmatch(r'(\d+(?:\.\d+)?)([KMG]?)(?:i?B)?', text, re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(f'{text!r} is no number of bytes, such as 800M or 4G')
    return int(float(match[1]) * _UNITS[match[2].upper()])


def main(argv: List[str]) -> int:
    """Deblur as the command line says.

    Returns:
        1 if a file could not be restored, else 0.
    """
    args = parse_args(argv)
    from mmspd.apis import DeblurInferencer  # late: --help should not wait for it

    results = DeblurInferencer(args.config, args.weights, args.device, args.compile)(
        args.inputs,
        args.out_dir,
        suffix=args.suffix,
        recursive=args.recursive,
        overwrite=args.overwrite,
        tile=args.tile,
        memory_budget=args.memory_budget,
        self_ensemble=args.self_ensemble,
        precision=args.precision,
        batch=args.batch,
    )
    failures, skipped = results['failures'], results['skipped']
    made = len(results['sources']) - len(failures) - len(skipped)
    print(f'{made} restored into {args.out_dir}, {len(skipped)} were done before')
    if failures:
        print(f'{len(failures)} could not be restored:', file=sys.stderr)
        for sentence in failures.values():
            print(f'  {sentence}', file=sys.stderr)
    return 1 if failures else 0


if __name__ == '__main__':
    run_main(main)
