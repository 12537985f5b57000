"""Pictures of the semantic prior of photos: what it looks like, what it does, and how good it is.

python tools/analysis/show_prior.py CONFIG WEIGHTS PHOTO... --sharp PHOTO... --out FOLDER
"""

import argparse
import itertools
import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np
from mmengine.device import get_device
from mmengine.model import BaseModel
from torch import Tensor

from mmspd.apis import init_model
from mmspd.apis.photo_io import read_photo, to_tensor
from mmspd.datasets.image_io import write_png
from mmspd.errors import UserError
from mmspd.models.tiling.memory import free_memory
from mmspd.models.tiling.network import TileNetwork
from mmspd.utils.cli import run_main
from mmspd.utils.files import write_text
from mmspd.utils.launch import add_cfg_options, read_config
from mmspd.utils.tables import text_table
from mmspd.visualization.prior_picture import Palette, color_panel, draw_rows
from mmspd.visualization.prior_view import PriorView, view_prior


class Photo(NamedTuple):
    """A photo, or the part of it that is looked at.

    Attributes:
        name: of its picture's file, without suffix.
        heading: the file, and what was done to it.
        images: the blurry and, if given, the sharp one, ``(1, 3, H, W)``, RGB, [0, 1].
    """

    name: str
    heading: str
    images: List[Tensor]


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of a guided model')
    parser.add_argument('weights', help='its checkpoint')
    parser.add_argument('photos', nargs='+', metavar='PHOTO', help='blurry photo')
    parser.add_argument(
        '--sharp',
        nargs='+',
        default=[],
        metavar='PHOTO',
        help='the sharp photos, in the same order, to compare the prior with the teacher',
    )
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder for results')
    parser.add_argument(
        '--crop',
        type=int,
        nargs=4,
        metavar=('X', 'Y', 'W', 'H'),
        help='look at this part of the photos: left, top, width and height in pixels',
    )
    parser.add_argument(
        '--max-side',
        type=int,
        default=1024,
        metavar='N',
        help='reduce larger photos to this, blur and all; 0 for none (default: 1024)',
    )
    parser.add_argument('--maps', action='store_true', help='write every map as a file of its own')
    parser.add_argument('--device', help='e.g. cpu or cuda:1; by default the accelerator, if any')
    add_cfg_options(parser)
    return parser.parse_args(argv)


def read_photos(args: argparse.Namespace) -> List[Photo]:
    """Read the photos that the command line names.

    Raises:
        UserError: One cannot be read, has no sharp one of its size, or no such part.
    """
    if args.sharp and len(args.sharp) != len(args.photos):
        raise UserError(
            f'--sharp has {len(args.sharp)} photos for {len(args.photos)} blurry ones: give one '
            'for each, in the same order'
        )
    if args.max_side < 0:
        raise UserError(f'--max-side must be a number of pixels or 0, not {args.max_side}')
    stems = [Path(path).stem for path in args.photos]
    photos = []
    for index, path in enumerate(args.photos):
        pixels = [read_photo(each).pixels for each in (path, *args.sharp[index : index + 1])]
        sizes = [f'{each.shape[1]}x{each.shape[0]}' for each in pixels]
        if len(set(sizes)) > 1:
            raise UserError(
                f"'{args.sharp[index]}' has {sizes[1]} pixels but '{path}' {sizes[0]}: give the "
                'sharp photo of the same pair'
            )
        selected = [select(each, args.crop, args.max_side, path) for each in pixels]
        name = stems[index] if len(set(stems)) == len(stems) else f'{index + 1}_{stems[index]}'
        heading = f'{Path(path).name}, {selected[0][1]}'
        photos.append(Photo(name, heading, [to_tensor(part) for part, _ in selected]))
    return photos


def select(
    pixels: np.ndarray, crop: Optional[Sequence[int]], max_side: int, path: str
) -> Tuple[np.ndarray, str]:
    """Cut out and reduce what is looked at.

    Args:
        pixels: ``(H, W, C)``.
        crop: left, top, width and height; ``None`` for all.
        max_side: the longer side afterwards is at most this; 0 for no reduction.
        path: of the photo, for the error.

    Returns:
        The part, and its description in words.

    Raises:
        UserError: The part does not lie within the photo.
    """
    height, width = pixels.shape[:2]
    description = f'{width}x{height} pixels'
    if crop is not None:
        x, y, w, h = crop
        if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
            raise UserError(
                f'--crop {x} {y} {w} {h} does not lie within the {width}x{height} pixels of '
                f"'{path}': its numbers are left, top, width and height"
            )
        pixels, width, height = pixels[y : y + h, x : x + w], w, h
        description += f', part {w}x{h} at ({x}, {y})'
    longest = max(width, height)
    if max_side and longest > max_side:
        size = tuple(max(1, round(side * max_side / longest)) for side in (width, height))
        channels = pixels.shape[2]
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        pixels = pixels.reshape(*size[::-1], channels)
        description += f', reduced to {size[0]}x{size[1]}'
    return pixels, description


def look(model: BaseModel, photo: Photo) -> PriorView:
    """Look at the prior of a photo, if there is the memory for it."""
    height, width = photo.images[0].shape[-2:]
    network = TileNetwork(model)
    need, free = network.cost((height, width), (height, width), False), free_memory(network.device)
    if need > free:
        raise UserError(
            f'{width}x{height} pixels of {photo.name} take about {need / 2**30:.1f} GiB of memory, '
            f'but {free / 2**30:.1f} are free: give --crop or a smaller --max-side'
        )
    return view_prior(model, *(image.to(network.device) for image in photo.images))


def tables(numbers: Dict[str, Dict[str, Any]]) -> str:
    """Lay out the numbers of all photos: how good the prior is, and what it does."""
    quality, modulation = [], []
    for name, values in numbers.items():
        similarities = [level['similarity'] for level in values['levels'] if 'similarity' in level]
        if 'psnr' in values:
            cells = [f'{value:.2f}' for value in values['psnr'].values()]
            quality.append([name, *cells, *(f'{value:.3f}' for value in similarities)])
        for seam, row in values['seams'].items():
            level, *sizes = row.values()
            modulation.append([name, seam, str(level), *(f'{size:.4f}' for size in sizes)])
    similarity = [f'similarity {i + 1}' for i in range(len(similarities))]
    laid_out = [
        text_table(['photo', *header], rows)
        for header, rows in (
            (['blurry dB', 'restored dB', *similarity], quality),
            (['seam', 'level', 'mu change', 'spread', 'sigma size', 'spread'], modulation),
        )
        if rows
    ]
    return '\n\n'.join(laid_out)


def main(argv: List[str]) -> None:
    """Write a picture per photo and the numbers of all."""
    args = parse_args(argv)
    config = read_config(args.config, args.cfg_options or {})
    photos = read_photos(args)
    device = args.device or get_device()
    model = init_model(config, args.weights, device, distillation=bool(args.sharp))
    views = [look(model, photo) for photo in photos]
    palette = Palette(views)
    for photo, view in zip(photos, views):
        rows = palette.rows(view)
        picture = draw_rows(rows, '; '.join((photo.heading, *view.notes)))
        write_png(args.out / f'{photo.name}.png', picture)
        if args.maps:
            for panel in filter(None, itertools.chain(*rows)):
                image = color_panel(panel, view.blurry.shape[:2])
                write_png(args.out / photo.name / f'{panel.name}.png', image)
    numbers = {photo.name: view.numbers() for photo, view in zip(photos, views)}
    write_text(args.out / 'numbers.json', json.dumps(numbers, indent=2))
    print(tables(numbers))
    for note in views[0].notes:
        print(note)
    print(f'{len(photos)} pictures and numbers.json are in {args.out}')


if __name__ == '__main__':
    run_main(main)
