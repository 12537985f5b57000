"""Make the data set of the quick start: real photos with synthetic panning blur.

The photos are part of installed Python packages. Three of them are used only for validation. To
train on your own photos, use tools/dataset_converters/synthesize_blur.py.
"""

import argparse
import importlib.util
import json
from dataclasses import asdict
from pathlib import Path
from typing import Iterator, List, NamedTuple, Tuple

import cv2
import numpy as np

from mmspd.datasets.blur.folder import claim_folder
from mmspd.datasets.blur.synthesis import BlurSpec, synthesize_blur
from mmspd.datasets.image_io import read_rgb, write_png
from mmspd.datasets.records import RECORDS_NAME
from mmspd.errors import UserError
from mmspd.utils.cli import output_folder, run_main
from mmspd.utils.files import write_text

#: Panning blur, because a small model can learn to remove it in minutes.
BLUR = BlurSpec(severity=(5.0, 11.0), kind='panning', noise=(0.002, 0.002))
MARGIN = 8  # pixels around a tile that contribute to its blur
TILE = {'train': 170, 'test': 200}  # approximate side of a tile in pixels
DRAWS = {'train': 4, 'test': 1}  # blurs per tile
SCALES = {'train': (1.0, 0.7), 'test': (1.0,)}  # reduced copies have sharper details


class Photo(NamedTuple):
    """A sharp photo (RGB, uint8, shape ``(H, W, 3)``) with its name, split and origin."""

    name: str
    split: str
    origin: str
    image: np.ndarray


#: Package, path, scale and origin of each photo. The first three are for validation.
BUNDLED = (
    ('sklearn', 'datasets/images/china.jpg', 1, 'danielbuechele, CC BY 2.0'),
    ('skimage', 'data/coffee.png', 1, 'Rachel Michetti, CC0'),
    ('skimage', 'data/chelsea.png', 1, 'Stefan van der Walt, CC0'),
    ('skimage', 'data/astronaut.png', 1, 'NASA, public domain'),
    ('skimage', 'data/motorcycle_left.png', 1, 'Middlebury Stereo 2014'),
    ('skimage', 'data/motorcycle_right.png', 1, 'Middlebury Stereo 2014'),
    ('skimage', 'data/rocket.jpg', 1, 'SpaceX, public domain'),
    ('skimage', 'data/retina.jpg', 0.5, 'Wikimedia Commons, CC0'),
    ('skimage', 'data/ihc.png', 1, 'no known copyright restrictions'),
    ('skimage', 'data/hubble_deep_field.jpg', 0.5, 'NASA, public domain'),
    ('skimage', 'data/brick.png', 1, 'CC0Textures, CC0, gray'),
    ('skimage', 'data/grass.png', 1, 'linolafett, CC0, gray'),
    ('skimage', 'data/gravel.png', 1, 'CC0Textures, CC0, gray'),
    ('skimage', 'data/camera.png', 1, 'Lav Varshney, CC0, gray'),
    ('skimage', 'data/coins.png', 1, 'Brooklyn Museum, no known restrictions, gray'),
    ('sklearn', 'datasets/images/flower.jpg', 1, 'vultilion, CC BY 2.0'),
    ('matplotlib', 'mpl-data/sample_data/grace_hopper.jpg', 1, 'US Navy, public domain'),
)


def bundled_photos() -> Iterator[Photo]:
    """Yield the photos of the installed packages. Gray photos are converted to RGB."""
    for number, (package, name, scale, origin) in enumerate(BUNDLED):
        spec = importlib.util.find_spec(package)
        path = Path(spec.submodule_search_locations[0] if spec else package, name)
        if not path.is_file():
            raise UserError(f"The package {package} has no photo '{name}'; run tools/install.sh.")
        image = _resize(read_rgb(path, convert=True), scale)
        split = 'test' if number < 3 else 'train'
        yield Photo(path.stem, split, f'{package}: {origin}', image)


def tiles(size: Tuple[int, int], side: int) -> List[Tuple[int, int, int, int]]:
    """Divide an image into tiles of about ``side`` pixels.

    Args:
        size: ``(H, W)`` of the image in pixels.
        side: Approximate side of a tile in pixels.

    Returns:
        ``(top, left, height, width)`` of each tile in pixels.
    """
    rows, columns = (max(1, round(length / side)) for length in size)
    height, width = size[0] // rows, size[1] // columns
    return [(r * height, c * width, height, width) for r in range(rows) for c in range(columns)]


def make_pairs(photo: Photo, out: Path, rng: np.random.Generator) -> List[str]:
    """Write the pairs of a photo.

    Args:
        photo: The photo.
        out: Folder of the data set.
        rng: Source of randomness.

    Returns:
        The record of each pair as one line of JSON.
    """
    folder = out / photo.split / photo.name
    lines: List[str] = []
    for scale in SCALES[photo.split]:
        sharp = _resize(photo.image, scale)
        for top, left, height, width in tiles(sharp.shape[:2], TILE[photo.split]):
            near_left, near_top = max(left - MARGIN, 0), max(top - MARGIN, 0)
            near = sharp[near_top : top + height + MARGIN, near_left : left + width + MARGIN]
            inside = np.s_[top - near_top :, left - near_left :]
            for _ in range(DRAWS[photo.split]):
                blurry, record = synthesize_blur(near, rng, BLUR)
                name = f'{len(lines):06d}'
                for part, image in (('blur', blurry), ('sharp', near)):
                    cut = image[inside][:height, :width]
                    write_png(folder / part / f'{name}.png', cut)
                lines.append(json.dumps({'key': f'{photo.name}/{name}', **asdict(record)}))
    return lines


def _resize(image: np.ndarray, scale: float) -> np.ndarray:
    """Reduce an image without aliasing."""
    if scale == 1:
        return image
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _readme(photos: List[Photo], counts: dict) -> str:
    """Return a page about the data and the origin of the photos."""
    rows = '\n'.join(f'| {photo.name} | {photo.split} | {photo.origin} |' for photo in photos)
    return (
        '# Quick start data\n\n'
        f'{counts["train"]} training and {counts["test"]} validation pairs, made by '
        'tools/quickstart_data.py: horizontal panning blur of '
        f'{BLUR.severity[0]:g}-{BLUR.severity[1]:g} pixels, averaged in linear light, noise of '
        f'{BLUR.noise[0]:g}. No training pair shows a validation photo. The layout is that of '
        'GOPRO_Large. records.jsonl describes the blur of each pair.\n\n'
        f'| photo | split | origin |\n|---|---|---|\n{rows}\n'
    )


def build(out: Path) -> str:
    """Make the data set if it is not complete.

    Args:
        out: Folder of the data set.

    Returns:
        A message for the user.
    """
    claim_folder(out, json.dumps(asdict(BLUR)))
    readme = out / 'README.md'
    if readme.is_file():
        return f"The data set of the quick start already exists in '{out}'."
    photos = list(bundled_photos())
    lines: dict = {'train': [], 'test': []}
    for number, photo in enumerate(photos):
        rng = np.random.default_rng([0, number])
        lines[photo.split] += make_pairs(photo, out, rng)
    for split, records in lines.items():
        write_text(out / split / RECORDS_NAME, '\n'.join(records) + '\n')
    counts = {split: len(records) for split, records in lines.items()}
    write_text(readme, _readme(photos, counts))
    return (
        f'{counts["train"]} training and {counts["test"]} validation pairs from {len(photos)} '
        f"photos are in '{out}' (described in its {readme.name})."
    )


def main(argv: List[str]) -> None:
    """Make the data set and print its folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'out', type=output_folder, help='output folder, in the layout of GOPRO_Large'
    )
    print(build(parser.parse_args(argv).out))


if __name__ == '__main__':
    run_main(main)
