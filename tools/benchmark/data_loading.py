"""Measure how fast random crops are read from a pack and by decoding the PNG files it is made of.

python tools/benchmark/data_loading.py --workers 1 2 4 --needed 30

Both ways run in turns in the same process on the same machine and give the same crops, which is
checked. The DataLoader runs the whole training pipeline. With --needed, the images a second of a
training step, it is told how many workers feed that step; training itself needs cores too.
"""

import argparse
import itertools
import math
import os
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
from common import write_record
from measure import Spread, paired_ratio, summarize, time_in_turns
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from torch.utils.data import DataLoader

from mmspd.datasets import PairedFolderDataset, SeededSampler
from mmspd.datasets.image_io import images_by_stem, read_rgb, write_png
from mmspd.datasets.packs.writer import plan_pack, write_pack
from mmspd.datasets.paired import RAW
from mmspd.errors import UserError
from mmspd.registry import import_sibling
from mmspd.utils.cli import at_least_one, positive, run_main
from mmspd.utils.tables import text_table

SIZE = (720, 1280)
CROP = 256
BATCH = 8
#: How many times the pairs of the second pack, whose memory is measured, are those of the first.
GROWTH = 4
#: How many crops of the pack are timed for one that is decoded.
REPEATS = 50
#: How many samples a DataLoader loads, at least.
LOADED = {'raw': 200, 'pack': 2000}
CPU = torch.device('cpu')

READ = [dict(type='mmspd.LoadImagePair'), dict(type='mmagic.PairedRandomCrop', gt_patch_size=CROP)]
TRAIN = READ + [
    dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='horizontal'),
    dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='vertical'),
    dict(type='mmagic.RandomTransposeHW', keys=['img', 'gt'], transpose_ratio=0.5),
    dict(type='mmagic.PackInputs', meta_keys=['key', 'severity']),
]


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--photos', type=Path, help="photos to make the pairs of (default: scikit-image's)"
    )
    parser.add_argument(
        '--pairs', type=at_least_one, default=24, help='pairs of 1280x720 (default: 24)'
    )
    parser.add_argument(
        '--samples', type=at_least_one, default=100, help='samples decoded (default: 100)'
    )
    parser.add_argument(
        '--workers',
        type=at_least_one,
        nargs='*',
        default=[1, 2],
        help='of the DataLoader (default: 1 2)',
    )
    parser.add_argument(
        '--needed', type=positive, metavar='IMAGES_PER_S', help='tell how many workers give so many'
    )
    parser.add_argument('--folder', type=Path, help='where the files go for the time being')
    parser.add_argument('--json', type=Path, help='write all figures to this file')
    args = parser.parse_args(argv)
    if args.needed is not None and not args.workers:
        parser.error('--needed wants --workers to be measured')
    return args


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
    write_pack(plan)
    return str(plan.path)


def crop_of(dataset: PairedFolderDataset, number: int) -> Dict[str, Any]:
    """Return a random crop of a random pair; the number fixes both."""
    np.random.seed(number)
    return dataset[np.random.randint(len(dataset))]


def measure_crops(raw: PairedFolderDataset, packed: PairedFolderDataset, samples: int) -> dict:
    """Compare the two ways to a crop; samples/s."""
    equal = all(
        np.array_equal(crop_of(raw, number)[key], crop_of(packed, number)[key])
        for number in range(10)
        for key in ('img', 'gt')
    )
    if not equal:
        raise RuntimeError('the pixels of the pack differ from those of the PNG files')
    numbers = itertools.count()

    def decode() -> None:
        crop_of(raw, next(numbers))

    def read_pack() -> None:
        for _ in range(REPEATS):
            crop_of(packed, next(numbers))

    times = time_in_turns(dict(decoding=decode, pack=read_pack), CPU, samples)
    times['pack'] = [time / REPEATS for time in times['pack']]
    return dict(
        decoding=rates(times['decoding'])._asdict(),
        pack=rates(times['pack'])._asdict(),
        ratio=paired_ratio(times['decoding'], times['pack'])._asdict(),
    )


def rates(seconds: Sequence[float], amount: float = 1) -> Spread:
    """How much of an amount is done a second."""
    return summarize([amount / value for value in seconds])


def measure_copies(packed: PairedFolderDataset, samples: int) -> dict:
    """Compare the copy of a crop with the memory's bandwidth; GB/s."""
    places = [packed.get_data_info(index)['place'] for index in range(len(packed))]
    spare = (SIZE[0] - CROP, SIZE[1] - CROP)
    memory = np.ones((len(places), 2, *SIZE, 3), np.uint8)  # as large as the pack
    length = CROP * CROP * 3

    def copy_crops(images: Sequence[np.ndarray], number: int) -> None:
        top, left = number * 7 % spare[0], number * 13 % spare[1]
        for image in images:
            image[top : top + CROP, left : left + CROP].copy()

    def copy_packed() -> None:
        for number in range(REPEATS):
            copy_crops(places[number % len(places)].images(), number)

    def copy_memory() -> None:
        for number in range(REPEATS):
            copy_crops(memory[number % len(places)], number)

    def copy_plain() -> None:
        for number in range(REPEATS):
            start = number * 7919 % (spare[0] * SIZE[1])
            for image in memory[number % len(places)]:
                image.reshape(-1)[start : start + length].copy()

    copies = {
        'crop of the pack': copy_packed,
        'crop of memory': copy_memory,
        'plain copy': copy_plain,
    }
    times = time_in_turns(copies, CPU, samples)
    return {name: rates(times[name], 2 * length * REPEATS / 1e9)._asdict() for name in times}


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
    samples = LOADED['raw' if dataset.packed == RAW else 'pack']
    epochs = max(1, samples // len(dataset))
    speeds = []
    for _ in range(epochs):
        start = time.perf_counter()
        count = sum(len(batch['inputs']) for batch in loader)
        speeds.append(count / (time.perf_counter() - start))
    pids = [worker.pid for worker in loader._iterator._workers]
    private = max(kilobytes(pid, 'smaps_rollup', 'Private_Dirty') for pid in pids) / 1024
    tables = max(kilobytes(pid, 'status', 'VmPTE') for pid in pids) / 1024
    return dict(
        workers=workers,
        samples_per_second=summarize(speeds)._asdict(),
        private_mib=private,
        page_table_mib=tables,
    )


def kilobytes(pid: int, file: str, field: str) -> int:
    """Read a figure of a process.

    Private_Dirty is what a process has written. Private_Clean would count the pages of the pack
    that no other process happens to have mapped, though they are the system's cache.
    """
    for line in Path(f'/proc/{pid}/{file}').read_text().splitlines():
        if line.startswith(f'{field}:'):
            return int(line.split()[1])
    raise RuntimeError(f'{field} is not in /proc/{pid}/{file}')


def workers_for(needed: float, speeds: Mapping[int, float]) -> Tuple[int, bool]:
    """How many workers give as many samples a second as are needed.

    Args:
        needed: Samples a second.
        speeds: Measured samples a second by number of workers.

    Returns:
        The fewest that were measured to be enough, and True. Where none were, how many would be at
        the speed per worker of the most measured, and False.
    """
    enough = [workers for workers, speed in speeds.items() if speed >= needed]
    if enough:
        return min(enough), True
    most = max(speeds)
    return math.ceil(needed * most / speeds[most]), False


def measure(root: Path, args: argparse.Namespace) -> dict:
    """Make the files and measure everything."""
    make_pairs(root, load_photos(args.photos), args.pairs)
    small, large = root / 'small', root / 'large'
    packs = {small: pack(small), large: pack(large)}
    files = [path.stat().st_size for path in small.rglob('*.png')]
    raw, packed = open_set(small, READ), open_set(small, READ, packs[small])
    sets = {
        'decoding': open_set(small, TRAIN),
        'pack': open_set(small, TRAIN, packs[small]),
        f'pack, {GROWTH} times as large': open_set(large, TRAIN, packs[large]),
    }
    return dict(
        png_megabytes=sum(files) / len(files) / 1e6,
        crops=measure_crops(raw, packed, args.samples),
        copies=measure_copies(packed, args.samples),
        loader=[
            dict(way=way, **measure_loader(dataset, workers))
            for workers in args.workers
            for way, dataset in sets.items()
        ],
    )


def print_figures(found: dict) -> None:
    """Print the figures of a process alone, and of a DataLoader."""

    def spread(values: Mapping[str, float], digits: int = 1) -> str:
        return '{:.{d}f} ({:.{d}f}-{:.{d}f})'.format(*values.values(), d=digits)

    print(f'PNG files of {found["png_megabytes"]:.2f} MB; medians (quartiles), one process:')
    for way in ('decoding', 'pack'):
        print(f'crops by {way}: {spread(found["crops"][way])} samples/s')
    print(f'pack / decoding: {spread(found["crops"]["ratio"])}')
    for name, rate in found['copies'].items():
        print(f'{name}: {spread(rate)} GB/s')
    rows = [
        [
            row['way'],
            str(row['workers']),
            spread(row['samples_per_second']),
            f'{row["private_mib"]:.1f}',
            f'{row["page_table_mib"]:.1f}',
        ]
        for row in found['loader']
    ]
    if rows:
        header = ('DataLoader', 'workers', 'samples/s', 'private MiB', 'page table MiB')
        print(f'\n{text_table(header, rows)}')


def tell_workers(found: dict, needed: float) -> Dict[str, Any]:
    """Tell how many workers feed a training step, by decoding and from the pack."""
    told: Dict[str, Any] = dict(images_per_second=needed)
    print(f'\nA training step of {needed:g} images/s needs:')
    for way in ('decoding', 'pack'):
        speeds = {
            row['workers']: row['samples_per_second']['median']
            for row in found['loader']
            if row['way'] == way
        }
        workers, measured = workers_for(needed, speeds)
        told[way] = dict(workers=workers, measured=measured)
        each = speeds[max(speeds)] / max(speeds)
        estimate = f'not measured: at the {each:.1f} samples/s of each of {max(speeds)}'
        how = f'measured: {speeds[workers]:.1f} samples/s' if measured else estimate
        print(f'  {way}: num_workers={workers} ({how})')
    return told


def main(argv: List[str]) -> None:
    """Print the figures."""
    args = parse_args(argv)
    import_sibling('mmagic')
    MMLogger.get_current_instance().setLevel('WARNING')
    cv2.setNumThreads(0)  # as in a worker
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        found = measure(Path(folder), args)
    print_figures(found)
    if args.needed is not None:
        found['needed'] = tell_workers(found, args.needed)
    if args.json:
        write_record(args.json, CPU, found, argv)


if __name__ == '__main__':
    run_main(main)
