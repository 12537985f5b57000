"""Deblur photos and videos: ``python tools/deblur.py CONFIG WEIGHTS INPUT... --out-dir DIR``."""

import argparse
import re
import sys
from typing import List

from mmspd.utils.cli import at_least_one, run_main, tile_argument

_UNITS = {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30}


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Deblur photos and videos, each into a file of its own kind. After a break, '
        'the same command goes on: what is done is skipped.',
    )
    parser.add_argument('config', help='config, or its name, e.g. mimounet_sp_gopro')
    parser.add_argument('weights', help='checkpoint of tools/train.py, or published one')
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
        '--tile',
        type=tile_argument,
        default='auto',
        metavar='N',
        help='side of the tiles in pixels; 0: no tiles; auto (the default): the largest that the '
        'memory allows',
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
    parser.add_argument(
        '--precision', choices=['float32', 'bfloat16', 'float16'], default='float32'
    )
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
    parser.add_argument('--device', help='e.g. cpu or cuda:1; by default the accelerator, if any')
    return parser.parse_args(argv)


def _bytes(text: str) -> int:
    """Read a number of bytes, such as 4G."""
    found = re.fullmatch(r'(\d+(?:\.\d+)?)([KMG]?)(?:i?B)?', text, re.IGNORECASE)
    if found is None:
        raise argparse.ArgumentTypeError(f'{text!r} is no number of bytes, such as 800M or 4G')
    return int(float(found[1]) * _UNITS[found[2].upper()])


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
