"""Make the data of the study: packed pairs of blurry and sharp photos.

python projects/prior_study/data.py data/study --train BSDS500/train BSDS500/test \
    --val BSDS500/val --test kodak24=KODAK24 --pairs reds=REDS/test gopro4=GOPRO@0.25
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any, Dict, List

import cv2
import numpy as np
from prior_study.arguments import named_folder
from prior_study.levin09 import align_levin09
from prior_study.motion import write_motion_maps
from prior_study.pairs import only_split, reduce_pairs

from mmspd.datasets.blur.folder import FolderPlan, claim_folder, synthesize_folder
from mmspd.datasets.blur.synthesis import BlurSpec
from mmspd.datasets.image_io import images_by_stem, read_rgb, write_png
from mmspd.datasets.packs.writer import plan_pack, write_pack
from mmspd.errors import UserError
from mmspd.registry import DATASETS
from mmspd.utils.cli import run_main

#: Ranges of the blur extent, as shares of sqrt(H * W). At 240x160 pixels, they are 1.6 to 3.1, 3.1
#: to 6.3 and 6.3 to 12.5 pixels. An extent is at least one pixel. Another range would change the
#: data of the study, so these values do not follow mmspd's classes of severity.
EXTENTS = ((0.008, 0.016), (0.016, 0.032), (0.032, 0.064))


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog='The configs of this project read the folder in STUDY_ROOT, by default data/study. '
        'The command does not modify the photos. If you repeat it, existing files are kept.',
    )
    parser.add_argument('out', type=Path, help='output folder')
    parser.add_argument(
        '--train', type=Path, nargs='+', required=True, help='folders of photos to train on'
    )
    parser.add_argument('--val', type=Path, required=True, help='folder of photos to validate on')
    parser.add_argument(
        '--test',
        nargs='+',
        type=named_folder,
        default=[],
        metavar='NAME=FOLDER',
        help='folders of photos to test on',
    )
    parser.add_argument(
        '--pairs',
        nargs='+',
        type=named_folder,
        default=[],
        metavar='NAME=FOLDER[@SCALE]',
        help='folders of pairs to test on, packed unchanged or reduced by a scale in (0, 1)',
    )
    parser.add_argument(
        '--levin09', type=Path, help='folder of the pairs of Levin et al., to be aligned'
    )
    parser.add_argument(
        '--scale',
        type=float,
        default=1.0,
        help='factor in (0, 1] to resize the photos; the blur scales with them (default: 1)',
    )
    parser.add_argument(
        '--extent',
        type=float,
        nargs=2,
        metavar=('MIN', 'MAX'),
        help='range of the blur in pixels; replaces the three ranges of the study',
    )
    parser.add_argument(
        '--kind',
        choices=('trajectory', 'panning'),
        default='trajectory',
        help='kind of blur (default: trajectory)',
    )
    parser.add_argument(
        '--moving-regions', type=int, default=0, help='number of moving objects (default: 0)'
    )
    parser.add_argument(
        '--noise',
        type=float,
        nargs=2,
        default=(0.0, 0.01),
        metavar=('MIN', 'MAX'),
        help='range of the standard deviation of the noise, if white is 1 (default: 0 0.01)',
    )
    parser.add_argument(
        '--per-image',
        type=int,
        default=3,
        help='pairs per photo, with the three ranges in turn (default: 3)',
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the blur (default: 0)')
    parser.add_argument('--workers', type=int, default=2, help='number of processes (default: 2)')
    return parser.parse_args(argv)


def reduce_photos(folders: List[Path], out: Path, scale: float) -> None:
    """Write resized copies of photos. Rotate portrait photos, so that all fit in one batch."""
    sources = [(folder, images_by_stem(folder) if folder.is_dir() else {}) for folder in folders]
    for folder, photos in sources:
        if not photos:
            raise UserError(f"There is no photo in '{folder}'; give a folder of photos.")
    claim_folder(out, json.dumps({'sources': [sorted(p) for _, p in sources], 'scale': scale}))
    for folder, photos in sources:
        for stem, path in photos.items():
            target = out / f'{folder.name}_{stem.replace("/", "_")}.png'
            if target.is_file():
                continue
            photo = read_rgb(path)
            if photo.shape[0] > photo.shape[1]:
                photo = np.rot90(photo)
            if scale != 1:
                photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            write_png(target, photo)


def make_pairs(args: argparse.Namespace, name: str, folders: List[Path], seed: int) -> Path:
    """Blur the photos of some folders and return the root of the pairs, in GoPro's layout."""
    photos, root = args.out / 'photos' / name, args.out / 'pairs' / name
    reduce_photos(folders, photos, args.scale)
    side = math.sqrt(read_rgb(next(photos.glob('*.png')))[..., 0].size)
    ranges = [tuple(max(1.0, share * side) for share in shares) for shares in EXTENTS]
    amounts = [args.extent] if args.extent else ranges
    specs = tuple(
        BlurSpec((amount[0], amount[1]), args.kind, args.moving_regions, tuple(args.noise))
        for amount in amounts
    )
    plan = FolderPlan(specs, args.per_image, float(name == 'train'), seed, in_turn=True)
    made = synthesize_folder(photos, root, plan, args.workers)
    if args.kind == 'trajectory' and not args.moving_regions:
        write_motion_maps(root, photos, specs)
    print(f"'{root}' holds {made['train'] + made['test']} pairs for {name}.")
    return root


def pack(dataset: Dict[str, Any], folder: Path, workers: int) -> None:
    """Pack a data set for fast reading."""
    plan = plan_pack(DATASETS.build(dict(dataset, lazy_init=True)), folder)
    if not plan.complete:
        write_pack(plan, workers)
    print(f"'{plan.path}' holds {len(plan.pairs)} pairs.")


def main(argv: List[str]) -> None:
    """Make the data and print the folders."""
    args = parse_args(argv)
    if not 0 < args.scale <= 1:
        raise UserError(f'--scale is {args.scale}; choose a number above 0 and up to 1.')
    synthesized = [('train', args.train), ('val', [args.val])]
    synthesized += [(name, [folder]) for name, folder in args.test]
    names = [name for name, _ in synthesized + args.pairs]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(
            f"Two data sets have the name '{twice[0]}'; give each data set a different name."
        )
    for number, (name, folders) in enumerate(synthesized):
        root = make_pairs(args, name, folders, args.seed + number)
        pack(only_split(root), args.out / 'packs' / name, args.workers)
    for name, folder in args.pairs:
        source, _, scale = str(folder).partition('@')
        made = Path(source)
        if scale:
            made = reduce_pairs(made, _scale_of(scale), args.out / 'pairs' / name)
        pack(only_split(made), args.out / 'packs' / name, args.workers)
    if args.levin09:
        root = args.out / 'pairs' / 'levin09'
        align_levin09(args.levin09, root)
        pack(only_split(root), args.out / 'packs' / 'levin09', args.workers)


def _scale_of(text: str) -> float:
    """Parse the scale of pairs."""
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale < 1:
        raise UserError(f'The scale {text!r} of --pairs is not a number above 0 and below 1.')
    return scale


if __name__ == '__main__':
    run_main(main)
