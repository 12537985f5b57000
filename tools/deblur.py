"""Deblur photos and videos.

python tools/deblur.py CONFIG WEIGHTS INPUT... --out-dir DIR
"""

import argparse
import re
import sys
from pathlib import Path
from typing import List

from mmspd.utils.cli import (
    add_inferencer_arguments,
    at_least_one,
    output_folder,
    run_main,
    usage_errors,
)
from mmspd.utils.precision import PRECISIONS
from mmspd.utils.skipped import one_line, skipped_line
from mmspd.weights.sources import find_source

_UNITS = {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30}


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Deblur photos and videos. Each result has the format of its input. To '
        'continue an interrupted run, repeat the command; finished files are skipped.',
    )
    add_inferencer_arguments(parser)
    parser.add_argument(
        'inputs', nargs='+', metavar='INPUT', help='photo, video, folder or glob pattern'
    )
    parser.add_argument(
        '--out-dir',
        type=output_folder,
        required=True,
        metavar='DIR',
        help='folder for the results; each result has the name of its input',
    )
    parser.add_argument(
        '--suffix', default='', help='text to add to the names of the results, e.g. _sharp'
    )
    parser.add_argument(
        '--recursive', action='store_true', help='search subfolders and linked folders too'
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='restore finished files again and replace existing files',
    )
    parser.add_argument(
        '--memory-budget',
        type=_bytes,
        metavar='BYTES',
        help='memory that --tile auto may use, e.g. 4G (default: a share of the free memory)',
    )
    parser.add_argument(
        '--self-ensemble',
        action='store_true',
        help='average the results for the eight flips and rotations of each image; takes eight '
        'times as long',
    )
    parser.add_argument(
        '--precision',
        choices=PRECISIONS,
        default='float32',
        help='number format of the computation (default: float32)',
    )
    parser.add_argument(
        '--batch',
        type=at_least_one,
        default=1,
        metavar='N',
        help='number of tiles to restore at once; may be faster on accelerators (default: 1)',
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help='compile the network, which takes a minute or more for each tile size; useful for '
        'videos and for many photos with --tile N',
    )
    return parser.parse_args(argv)


def _bytes(text: str) -> int:
    """Parse a number of bytes, such as 4G."""
    match = re.fullmatch(r'(\d+(?:\.\d+)?)([KMG]?)(?:i?B)?', text, re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not a number of bytes; write, for example, 800M or 4G.'
        )
    size = int(float(match[1]) * _UNITS[match[2].upper()])
    if size < 1:
        raise argparse.ArgumentTypeError(f'{text} is no memory; give a larger number of bytes.')
    return size


def main(argv: List[str]) -> int:
    """Deblur the inputs.

    Args:
        argv: Command-line arguments.

    Returns:
        The exit code, 1 if a file could not be restored, else 0.
    """
    args = parse_args(argv)
    weights = find_source(args.weights, args.config)
    # imported here, so that --help is fast
    from mmspd.apis import DeblurInferencer
    from mmspd.apis.jobs import find_jobs

    with usage_errors():  # check the inputs before the model is built
        find_jobs(args.inputs, args.out_dir, args.suffix, args.recursive)

    results = DeblurInferencer(args.config, weights, args.device, args.compile)(
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
    restored = sum(result is not None for result in results['predictions']) - len(skipped)
    print(
        f'Restored {restored} of {len(results["sources"])} inputs into {args.out_dir} '
        f'(finished before: {len(skipped)}, failed: {len(failures)}).'
    )
    if results['ignored']:
        ignored = {Path(name): reason for name, reason in results['ignored'].items()}
        print(skipped_line(ignored, ['photo', 'video']))
    if failures:
        print('These inputs could not be restored:', file=sys.stderr)
        for sentence in failures.values():
            print(f'  {one_line(sentence)}', file=sys.stderr)
    return 1 if failures else 0


if __name__ == '__main__':
    run_main(main)
