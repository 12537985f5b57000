"""Pack a data set into one memory-mapped array per split, for fast training.

Supported layouts: GoPro (also synthesized data), HIDE, RealBlur, pairs of folders, and pairs that a
file pairs.txt lists.
"""

import argparse
from pathlib import Path
from typing import List

from mmspd.datasets.layouts import DatasetSplit, recognize
from mmspd.datasets.packs.writer import plan_pack, write_pack
from mmspd.errors import UsageError
from mmspd.registry import DATASETS
from mmspd.utils.cli import (
    add_pair_templates,
    output_folder,
    run_main,
    usage_errors,
    zero_or_more,
)
from mmspd.utils.launch import check_folder


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='To train and test on the packs, set MMSPD_PACKED=OUT_FOLDER, or packed=OUT_FOLDER\n'
        'in the config of the dataset. The same command continues an interrupted run and skips\n'
        'complete packs. The images are not modified. check.py OUT_FOLDER/NAME verifies a pack.',
    )
    parser.add_argument('data_root', type=Path, help='folder of the unpacked data set')
    parser.add_argument('out', type=output_folder, metavar='OUT_FOLDER', help='folder of the packs')
    parser.add_argument('--split', nargs='+', metavar='SPLIT', help='splits to pack (default: all)')
    parser.add_argument(
        '--blur-key',
        default='blur',
        choices=['blur', 'blur_gamma'],
        help='GoPro: folder of the blurry images (default: blur)',
    )
    parser.add_argument(
        '--subset', choices=['J', 'R'], help='RealBlur: subset to pack (default: both)'
    )
    parser.add_argument(
        '--sharp-photos',
        nargs='?',
        const='',
        metavar='NAME',
        help='pack sharp photos, for training with synthetic blur; with NAME, pack only photos in '
        'folders called NAME',
    )
    add_pair_templates(parser)
    parser.add_argument(
        '--workers', type=zero_or_more, default=4, help='number of processes (default: 4)'
    )
    parser.add_argument(
        '--to-rgb', action='store_true', help='convert gray, alpha and 16-bit images to 8-bit RGB'
    )
    return parser.parse_args(argv)


def choose(args: argparse.Namespace) -> List[DatasetSplit]:
    """Return the parts of the data set that the command line selects."""
    if args.sharp_photos is not None:
        photos = dict(
            type='mmspd.SharpFolderDataset',
            data_root=str(args.data_root),
            only_in=args.sharp_photos,
        )
        return [
            DatasetSplit('sharp', split, dict(photos, split=split)) for split in args.split or ['']
        ]
    parts = recognize(args.data_root, args.blur_template, args.sharp_template)
    chosen = [
        part
        for part in parts
        if (not args.split or part.split in args.split)
        and part.dataset.get('blur_key', args.blur_key) == args.blur_key
        and (not args.subset or part.dataset.get('subset') == args.subset)
    ]
    if not chosen or not {part.split for part in chosen}.issuperset(args.split or ()):
        known = '; '.join(
            ', '.join(
                f'{key}={value}'
                for key, value in part.dataset.items()
                if key not in ('type', 'data_root')
            )
            for part in parts
        )
        raise UsageError(
            f"'{args.data_root}' has no data for this --split, --blur-key and --subset; choose "
            f'from: {known}.'
        )
    return chosen


def main(argv: List[str]) -> None:
    """Write the packs and print their paths."""
    args = parse_args(argv)
    check_folder(args.data_root, 'data folder')
    with usage_errors():
        parts = choose(args)
    plans = [
        plan_pack(DATASETS.build(dict(part.dataset, lazy_init=True)), args.out, args.to_rgb)
        for part in parts
    ]
    for plan in plans:
        if not plan.complete:
            print(f"Packing {len(plan.pairs)} pairs into '{plan.path}'.")
            write_pack(plan, args.workers)
            print(f"'{plan.path}' is written and verified, {plan.nbytes:,} bytes.")
        else:
            print(f"'{plan.path}' is complete and up to date.")


if __name__ == '__main__':
    run_main(main)
