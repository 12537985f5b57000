"""Measure how fast random crops are read from a pack and by decoding the PNG files it is made of.

Both ways run in the same process on the same machine and give the same crops, which is checked.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

import cv2
import numpy as np
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmspd.datasets import PairedFolderDataset, SeededSampler
from mmspd.datasets.blur_folder import write_png
from mmspd.datasets.image_io import images_by_stem, read_rgb
from mmspd.datasets.packed_plan import check_space, plan_pack
from mmspd.datasets.packed_writer import write_pack
from mmspd.datasets.paired import RAW
from mmspd.errors import UserError
from mmspd.registry import import_sibling
from mmspd.utils.cli import run_main
from mmspd.utils.files import write_text

SIZE = (720, 1280)
CROP = 256
BATCH = 8
#: How many times the pairs of the second pack, whose memory is measured, are those of the first.
GROWTH = 4

READ = [dict(type='mmspd.LoadImagePair'), dict(type='mmagic.PairedRandomCrop', gt_patch_size=CROP)]
TRAIN = READ + [
    dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='horizontal'),
    dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='vertical'),
    dict(type='mmagic.RandomTransposeHW', keys=['img', 'gt'], transpose_ratio=0.5),
    dict(type='mmagic.PackInputs', meta_keys=['key', 'severity']),
]


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--photos', type=Path, help="photos to make the pairs of (default: scikit-image's)"
    )
    parser.add_argument('--pairs', type=int, default=24, help='pairs of 1280x720 (default: 24)')
    parser.add_argument('--samples', type=int, default=100, help='samples decoded (default: 100)')
    parser.add_argument(
        '--workers', type=int, nargs='*', default=[1, 2], help='of the DataLoader (default: 1 2)'
    )
    parser.add_argument('--folder', type=Path, help='where the files go for the time being')
    parser.add_argument('--json', type=Path, help='write the figures to this file')
    return parser.parse_args(argv)


def load_photos(folder: Optional[Path]) -> Iterator[np.ndarray]:
    """Yield photos, over and over, with the noise of a sensor that enlarging has taken away."""
    if folder is None:
        from skimage import data

        photos = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    else:
        photos = [read_rgb(path) for path in images_by_stem(folder).values()]
    if not photos:
        raise UserError(f"there is no photo in '{folder}': give another folder")
    rng = np.random.default_rng(0)
    while True:
        for photo in photos:
            large = cv2.resize(photo, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
            noisy = large + rng.normal(0, 2, large.shape)
            yield np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def make_pairs(root: Path, photos: Iterator[np.ndarray], count: int) -> None:
    """Write pairs, and links to them that make a data set several times as large."""
    for number in range(count):
        sharp = next(photos)
        for name, image in (('target', sharp), ('input', cv2.blur(sharp, (15, 3)))):
            path = root / 'small' / name / f'{number:05d}.png'
            write_png(path, image)
            for copy in range(GROWTH):
                link = root / 'large' / name / f'{copy}_{path.name}'
                link.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, link)


def open_set(root: Path, pipeline: List[dict], packed: str = RAW) -> PairedFolderDataset:
    """Open the pairs, raw or packed."""
    return PairedFolderDataset(str(root), pipeline=pipeline, packed=packed)


def pack(root: Path) -> str:
    """Pack a data set and return the pack's path."""
    plan = plan_pack(open_set(root, []), root.parent / f'{root.name}_pack')
    check_space([plan], plan.path.parent)
    write_pack(plan)
    return str(plan.path)


def seconds(function: Callable[[int], Any], count: int) -> float:
    """Return the time of a call, the mean of several, after one for warming up."""
    function(0)
    start = time.perf_counter()
    for number in range(count):
        function(number)
    return (time.perf_counter() - start) / count


def crop_of(dataset: PairedFolderDataset, number: int) -> Dict[str, Any]:
    """Return a random crop of a random pair; the number fixes both."""
    np.random.seed(number)
    return dataset[np.random.randint(len(dataset))]


def measure_crops(raw: PairedFolderDataset, packed: PairedFolderDataset, samples: int) -> dict:
    """Compare the two ways to a crop, and the copy of a crop with the memory's bandwidth."""
    equal = all(
        np.array_equal(crop_of(raw, number)[key], crop_of(packed, number)[key])
        for number in range(10)
        for key in ('img', 'gt')
    )
    if not equal:
        raise RuntimeError('the pixels of the pack differ from those of the PNG files')
    decoding = seconds(lambda number: crop_of(raw, number), samples)
    mapped = seconds(lambda number: crop_of(packed, number), 50 * samples)
    places = [packed.get_data_info(index)['place'] for index in range(len(packed))]
    spare = (SIZE[0] - CROP, SIZE[1] - CROP)

    memory = np.ones((len(places), 2, *SIZE, 3), np.uint8)  # as large as the pack

    def copy_crops(images: Sequence[np.ndarray], number: int) -> None:
        top, left = number * 7 % spare[0], number * 13 % spare[1]
        for image in images:
            image[top : top + CROP, left : left + CROP].copy()

    def copy_packed(number: int) -> None:
        copy_crops(places[number % len(places)].images(), number)

    def copy_memory(number: int) -> None:
        copy_crops(memory[number % len(places)], number)

    length = CROP * CROP * 3

    def copy_plain(number: int) -> None:
        start = number * 7919 % (spare[0] * SIZE[1])
        for image in memory[number % len(places)]:
            image.reshape(-1)[start : start + length].copy()

    rate, calls = 2 * length / 1e9, 50 * samples
    return {
        'decoding, samples/s': 1 / decoding,
        'pack, samples/s': 1 / mapped,
        'ratio': decoding / mapped,
        'crop of the pack, GB/s': rate / seconds(copy_packed, calls),
        'crop of memory, GB/s': rate / seconds(copy_memory, calls),
        'plain copy, GB/s': rate / seconds(copy_plain, calls),
    }


def measure_loader(dataset: PairedFolderDataset, workers: int) -> dict:
    """Return the speed of a DataLoader, and the memory of its own that a worker has, in MiB."""
    loader = DataLoader(
        dataset,
        BATCH,
        sampler=SeededSampler(dataset, shuffle=True, seed=0),
        num_workers=workers,
        collate_fn=pseudo_collate,
        persistent_workers=True,
    )
    for _ in loader:  # the workers start and the files are read
        pass
    epochs = max(1, 200 // len(dataset)) if dataset.packed == RAW else 2000 // len(dataset)
    start = time.perf_counter()
    count = sum(len(batch['inputs']) for _ in range(epochs) for batch in loader)
    speed = count / (time.perf_counter() - start)
    pids = [worker.pid for worker in loader._iterator._workers]
    return {
        'samples/s': speed,
        'private MiB': max(kilobytes(pid, 'smaps_rollup', 'Private_Dirty') for pid in pids) / 1024,
        'page table MiB': max(kilobytes(pid, 'status', 'VmPTE') for pid in pids) / 1024,
    }


def kilobytes(pid: int, file: str, field: str) -> int:
    """Read a figure of a process.

    Private_Dirty is what a process has written. Private_Clean would count the pages of the pack
    that no other process happens to have mapped, though they are the system's cache.
    """
    for line in Path(f'/proc/{pid}/{file}').read_text().splitlines():
        if line.startswith(f'{field}:'):
            return int(line.split()[1])
    raise RuntimeError(f'{field} is not in /proc/{pid}/{file}')


def measure(root: Path, args: argparse.Namespace) -> dict:
    """Make the files and measure everything."""
    make_pairs(root, load_photos(args.photos), args.pairs)
    small, large = root / 'small', root / 'large'
    packs = {small: pack(small), large: pack(large)}
    files = [path.stat().st_size for path in small.rglob('*.png')]
    found = {
        'PNG, MB each': sum(files) / len(files) / 1e6,
        **measure_crops(open_set(small, READ), open_set(small, READ, packs[small]), args.samples),
    }
    for workers in args.workers:
        found[f'DataLoader, {workers} workers'] = {
            'decoding': measure_loader(open_set(small, TRAIN), workers),
            'pack': measure_loader(open_set(small, TRAIN, packs[small]), workers),
            f'pack, {GROWTH} times as large': measure_loader(
                open_set(large, TRAIN, packs[large]), workers
            ),
        }
    return found


def main(argv: List[str]) -> None:
    """Print the figures."""
    args = parse_args(argv)
    import_sibling('mmagic')
    cv2.setNumThreads(0)  # as in a worker
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        found = measure(Path(folder), args)
    for name, value in found.items():
        if isinstance(value, float):
            print(f'{name:24} {value:9.1f}')
            continue
        for way, figures in value.items():
            shown = ', '.join(f'{figure:.1f} {unit}' for unit, figure in figures.items())
            print(f'{name}, {way}: {shown}')
    if args.json:
        write_text(args.json, json.dumps(found, indent=1) + '\n')


if __name__ == '__main__':
    run_main(main)
