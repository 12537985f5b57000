"""Make pairs of blurry and sharp images in GoPro's layout from a folder of sharp photos."""

import argparse
from pathlib import Path
from typing import List

from mmspd.datasets.blur.folder import FolderPlan, synthesize_folder
from mmspd.datasets.blur.synthesis import KINDS, BlurSpec
from mmspd.utils.cli import at_least_one, output_folder, run_main, share, usage_errors, zero_or_more
from mmspd.utils.launch import check_folder
from mmspd.utils.severity import SEVERITIES


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='To train on the result, set GOPRO_ROOT=OUT and use a *_gopro.py config. If you '
        'repeat the command, it makes only missing pairs. The photos are not modified.',
    )
    parser.add_argument(
        'sharp_dir', type=Path, help='folder of sharp photos; subfolders are included'
    )
    parser.add_argument(
        'out', type=output_folder, help='output folder, in the layout of GOPRO_Large'
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument(
        '--severity',
        nargs='+',
        choices=list(SEVERITIES),
        default=['moderate'],
        help='strength of the blur; of several values, each pair gets a random one (default: '
        'moderate)',
    )
    amount.add_argument(
        '--extent',
        nargs=2,
        type=float,
        metavar=('MIN', 'MAX'),
        help='range of the strength of the blur in pixels',
    )
    parser.add_argument(
        '--kind',
        choices=KINDS,
        default='trajectory',
        help='shaken camera or horizontal panning (default: trajectory)',
    )
    parser.add_argument(
        '--moving-regions',
        type=zero_or_more,
        default=0,
        help='maximum number of moving regions per image (default: 0)',
    )
    parser.add_argument(
        '--noise',
        nargs=2,
        type=float,
        metavar=('MIN', 'MAX'),
        default=[0.0, 0.01],
        help='range of the standard deviation of the noise, if white is 1 (default: 0 0.01)',
    )
    parser.add_argument(
        '--highlight-gain',
        nargs=2,
        type=float,
        metavar=('MIN', 'MAX'),
        default=[1.0, 1.0],
        help='range of the factor that brightens clipped highlights (default: 1 1)',
    )
    parser.add_argument(
        '--per-image', type=at_least_one, default=1, help='pairs per photo (default: 1)'
    )
    parser.add_argument(
        '--split-ratio', type=share, default=0.9, help='share of photos for training (default: 0.9)'
    )
    parser.add_argument(
        '--seed', type=zero_or_more, default=0, help='seed of the blur (default: 0)'
    )
    parser.add_argument(
        '--workers', type=zero_or_more, default=2, help='number of processes (default: 2)'
    )
    parser.add_argument(
        '--skip-unusable', action='store_true', help='skip gray, damaged and tiny photos'
    )
    return parser.parse_args(argv)


def main(argv: List[str]) -> None:
    """Make the pairs and print their number and folder."""
    args = parse_args(argv)
    check_folder(args.sharp_dir, 'folder of sharp photos')
    amounts = [tuple(args.extent)] if args.extent else args.severity
    with usage_errors():
        specs = tuple(
            BlurSpec(
                amount,
                args.kind,
                args.moving_regions,
                tuple(args.noise),
                tuple(args.highlight_gain),
            )
            for amount in amounts
        )
        plan = FolderPlan(specs, args.per_image, args.split_ratio, args.seed)
    made = synthesize_folder(args.sharp_dir, args.out, plan, args.workers, args.skip_unusable)
    print(
        f"{made['train']} training and {made['test']} test pairs are in '{args.out}'."
        + (f' {made["skipped"]} photos were skipped.' if made['skipped'] else '')
    )


if __name__ == '__main__':
    run_main(main)
