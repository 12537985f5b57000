"""Draw the semantic prior of photos, its effect on the restorer, and its similarity to the teacher.

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
from mmspd.datasets.image_io import write_png
from mmspd.datasets.photo_io import read_photo, to_tensor
from mmspd.errors import UsageError
from mmspd.models.tiling.memory import free_memory
from mmspd.models.tiling.network import TileNetwork
from mmspd.utils.cli import output_folder, run_main
from mmspd.utils.files import write_text
from mmspd.utils.launch import add_cfg_options, check_file, read_config
from mmspd.utils.tables import text_table
from mmspd.visualization.prior_picture import Palette, color_panel, draw_rows
from mmspd.visualization.prior_view import PriorView, view_prior
from mmspd.weights.sources import find_source


class Photo(NamedTuple):
    """A photo, or the selected part of it.

    Attributes:
        name: Name of the picture file, without suffix.
        heading: Name of the photo file and a description of the crop and the reduction.
        images: The blurry image and, if given, the sharp image, ``(1, 3, H, W)``, RGB, [0, 1].
    """

    name: str
    heading: str
    images: List[Tensor]


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of a guided model')
    parser.add_argument('weights', help='checkpoint of the model')
    parser.add_argument('photos', nargs='+', metavar='PHOTO', help='blurry photos')
    parser.add_argument(
        '--sharp',
        nargs='+',
        default=[],
        metavar='PHOTO',
        help='sharp photos in the order of the blurry photos; with sharp photos, the prior is '
        'compared with the teacher',
    )
    parser.add_argument(
        '--out', type=output_folder, required=True, metavar='DIR', help='folder for the results'
    )
    parser.add_argument(
        '--crop',
        type=int,
        nargs=4,
        metavar=('X', 'Y', 'W', 'H'),
        help='use this part of each photo: left, top, width and height in pixels',
    )
    parser.add_argument(
        '--max-side',
        type=int,
        default=1024,
        metavar='N',
        help='reduce larger photos, and so also their blur, to N pixels on the longer side; 0 for '
        'no reduction (default: 1024)',
    )
    parser.add_argument(
        '--maps', action='store_true', help='also write each map to a separate file'
    )
    parser.add_argument(
        '--device', help='device, e.g. cpu or cuda:1 (default: the accelerator if there is one)'
    )
    add_cfg_options(parser)
    return parser.parse_args(argv)


def read_photos(args: argparse.Namespace) -> List[Photo]:
    """Read the photos of the command line.

    Args:
        args: Command-line arguments.

    Returns:
        The photos, cropped and reduced.

    Raises:
        UsageError: A photo cannot be read, is smaller than the crop, or its sharp photo has another
            size.
    """
    if args.sharp and len(args.sharp) != len(args.photos):
        raise UsageError(
            f'--sharp has {len(args.sharp)} photos, but PHOTO has {len(args.photos)}; give one '
            'sharp photo for each blurry photo, in the same order.'
        )
    for path in (*args.photos, *args.sharp):
        check_file(path, 'photo')
    if args.max_side < 0:
        raise UsageError(
            f'--max-side is {args.max_side}; use a number of pixels, or 0 for no reduction.'
        )
    stems = [Path(path).stem for path in args.photos]
    photos = []
    for index, path in enumerate(args.photos):
        pixels = [read_photo(each).pixels for each in (path, *args.sharp[index : index + 1])]
        sizes = [f'{each.shape[1]}x{each.shape[0]}' for each in pixels]
        if len(set(sizes)) > 1:
            raise UsageError(
                f"'{args.sharp[index]}' has {sizes[1]} pixels, but '{path}' has {sizes[0]}; give "
                'the sharp photo of the same pair.'
            )
        selected = [select(each, args.crop, args.max_side, path) for each in pixels]
        name = stems[index] if len(set(stems)) == len(stems) else f'{index + 1}_{stems[index]}'
        heading = f'{Path(path).name}, {selected[0][1]}'
        photos.append(Photo(name, heading, [to_tensor(part) for part, _ in selected]))
    return photos


def select(
    pixels: np.ndarray, crop: Optional[Sequence[int]], max_side: int, path: str
) -> Tuple[np.ndarray, str]:
    """Crop and reduce a photo.

    Args:
        pixels: Pixels ``(H, W, C)``.
        crop: Left, top, width and height of the crop; ``None`` for the whole photo.
        max_side: Largest allowed length of the longer side, in pixels; 0 for no reduction.
        path: File of the photo, for the error message.

    Returns:
        The selected part and its description.

    Raises:
        UsageError: The crop is not inside the photo.
    """
    height, width = pixels.shape[:2]
    description = f'{width}x{height} pixels'
    if crop is not None:
        x, y, w, h = crop
        if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
            raise UsageError(
                f"--crop {x} {y} {w} {h} is not inside '{path}', which has {width}x{height} "
                'pixels; give the left, top, width and height of a part of the photo.'
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


def view_photo(model: BaseModel, photo: Photo) -> PriorView:
    """Compute the prior of a photo and the effect of the prior.

    Args:
        model: A guided model.
        photo: The photo.

    Returns:
        The view of the prior.

    Raises:
        UsageError: The photo needs more memory than is free.
    """
    height, width = photo.images[0].shape[-2:]
    network = TileNetwork(model)
    need, free = network.cost((height, width), (height, width), False), free_memory(network.device)
    if need > free:
        raise UsageError(
            f'{width}x{height} pixels of {photo.name} need about {need / 2**30:.1f} GiB of memory, '
            f'but {free / 2**30:.1f} GiB are free; use --crop or a smaller --max-side.'
        )
    return view_prior(model, *(image.to(network.device) for image in photo.images))


def tables(numbers: Dict[str, Dict[str, Any]]) -> str:
    """Format the numbers of all photos as one or two tables.

    Args:
        numbers: Dict from the name of each photo to its
            :meth:`~mmspd.visualization.PriorView.numbers`.

    Returns:
        Tables of the quality and of the effect of the prior, in Markdown.
    """
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
    """Write a picture of the prior of each photo, and write all measurements to numbers.json.

    Args:
        argv: Command-line arguments.
    """
    args = parse_args(argv)
    weights = find_source(args.weights, args.config)
    config = read_config(args.config, args.cfg_options or {})
    photos = read_photos(args)
    device = args.device or get_device()
    model = init_model(config, weights, device, distillation=bool(args.sharp))
    views = [view_photo(model, photo) for photo in photos]
    palette = Palette(views)
    for photo, view in zip(photos, views):
        rows = palette.rows(view)
        picture = draw_rows(rows, '. '.join((photo.heading, *view.notes)))
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
    print(f'Wrote {len(photos)} pictures and numbers.json to {args.out}.')


if __name__ == '__main__':
    run_main(main)
