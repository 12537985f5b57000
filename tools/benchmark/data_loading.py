"""Measure the speed of random crops from a pack and from PNG files.

python tools/benchmark/data_loading.py --workers 1 2 4 --needed 30

Decoding the files and reading the pack take turns in one process. The tool checks that both give
equal crops. Then a DataLoader of each method runs the whole training pipeline, in turns. Set
--needed to the images/s of your training step to get the number of workers for it. Training itself
also needs CPU cores.
"""

import argparse
import itertools
import math
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

import cv2
import numpy as np
import torch
from common import write_record
from measure import Spread, paired_ratio, summarize, time_in_turns
from mmengine.dataset import RepeatDataset, pseudo_collate
from mmengine.logging import MMLogger
from skimage import data
from torch.utils.data import DataLoader

from mmspd.datasets import PairedFolderDataset, SeededSampler, stack_batch
from mmspd.datasets.image_io import write_png
from mmspd.datasets.packs.writer import plan_pack, write_pack
from mmspd.datasets.paired import RAW
from mmspd.registry import import_sibling
from mmspd.utils.cli import at_least_one, output_file, positive, run_main
from mmspd.utils.tables import text_table

SIZE = (720, 1280)
PAIRS = 24
CROP = 256
BATCH = 8
#: Number of decoded crops, and number of crops that are read from the pack for each decoded crop.
SAMPLES, REPEATS = 100, 50
#: Number of epochs of each DataLoader.
ROUNDS = 6
CPU = torch.device('cpu')

HEADER = (
    *('', 'workers', 'samples/s (quartiles)', 'workers, ms/sample', 'main process, ms/sample'),
    *('share of crops', 'private MiB'),
)
LEGEND = (
    'The crops are cut in one process, without workers; the pipeline is that of a training. The\n'
    'columns in ms are processor times. The share of crops is the time of a crop, divided by the\n'
    'time of the pipeline in all processes. MMagic: the batches of MMagic and MMEngine.'
)

READ = [dict(type='mmspd.LoadImagePair'), dict(type='mmagic.PairedRandomCrop', gt_patch_size=CROP)]
TRAIN = READ + [
    dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='horizontal'),
    dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='vertical'),
    dict(type='mmagic.RandomTransposeHW', keys=['img', 'gt'], transpose_ratio=0.5),
    dict(type='mmspd.PackInputs', meta_keys=['key', 'severity']),
]


class Method(NamedTuple):
    """A way to load samples.

    Attributes:
        packed: Whether the images are read from the pack.
        pipeline: Config of the transforms.
        collate: Function that makes a batch.
        repeats: Repetitions of the data set in an epoch.
    """

    packed: bool
    pipeline: List[dict] = TRAIN
    collate: Callable[[Any], Any] = stack_batch
    repeats: int = 1


#: The last method has the batches of MMagic and MMEngine, with the same values.
METHODS = {
    'decoding': Method(packed=False),
    'pack': Method(packed=True, repeats=10),
    'pack, MMagic': Method(
        True, [*TRAIN[:-1], dict(TRAIN[-1], type='mmagic.PackInputs')], pseudo_collate, repeats=10
    ),
}


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--workers',
        type=at_least_one,
        nargs='+',
        default=[1, 2],
        help='numbers of workers of the DataLoader (default: 1 2)',
    )
    parser.add_argument(
        '--needed',
        type=positive,
        metavar='IMAGES_PER_S',
        help='speed that the workers must reach, such as the images/s of a training step',
    )
    parser.add_argument('--json', type=output_file, help='write all results to this JSON file')
    return parser.parse_args(argv)


def make_pairs(root: Path) -> None:
    """Write pairs of enlarged photos.

    The enlargement removes the sensor noise, so noise is added.

    Args:
        root: Output folder.
    """
    photos = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    rng = np.random.default_rng(0)
    for number in range(PAIRS):
        photo = photos[number % len(photos)]
        large = cv2.resize(photo, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        noisy = large + rng.normal(0, 2, large.shape)
        sharp = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        for name, image in (('target', sharp), ('input', cv2.blur(sharp, (15, 3)))):
            write_png(root / name / f'{number:05d}.png', image)


def open_set(root: Path, pipeline: List[dict], packed: str = RAW) -> PairedFolderDataset:
    """Open the pairs as files, or as a pack.

    Args:
        root: Folder of the pairs.
        pipeline: Config of the transforms.
        packed: Path of the pack, or ``'raw'`` for the files.
    """
    return PairedFolderDataset(str(root), pipeline=pipeline, packed=packed)


def random_crop(dataset: PairedFolderDataset, number: int) -> Dict[str, Any]:
    """Return a random crop of a random pair.

    Args:
        dataset: Data set with a random crop in its pipeline.
        number: Seed for the choice of the pair and the crop.
    """
    np.random.seed(number)
    return dataset[np.random.randint(len(dataset))]


def measure_crops(raw: PairedFolderDataset, packed: PairedFolderDataset) -> Dict[str, Spread]:
    """Compare decoding the files with reading the pack, in one process.

    Args:
        raw: Data set of the files.
        packed: Data set of the pack.

    Returns:
        A dict with the samples/s of ``decoding`` and ``pack``, by processor time, and the ``ratio``
        pack / decoding.

    Raises:
        RuntimeError: The crops differ.
    """
    equal = all(
        np.array_equal(random_crop(raw, number)[key], random_crop(packed, number)[key])
        for number in range(10)
        for key in ('img', 'gt')
    )
    if not equal:
        raise RuntimeError('The pixels of the pack differ from the pixels of the PNG files.')
    numbers = itertools.count()

    def decode() -> None:
        random_crop(raw, next(numbers))

    def read_pack() -> None:
        for _ in range(REPEATS):
            random_crop(packed, next(numbers))

    functions = dict(decoding=decode, pack=read_pack)
    times = time_in_turns(functions, CPU, SAMPLES, clock=time.process_time)
    times['pack'] = [seconds / REPEATS for seconds in times['pack']]
    rates = {
        method: summarize([1 / value for value in seconds]) for method, seconds in times.items()
    }
    return dict(**rates, ratio=paired_ratio(times['decoding'], times['pack']))


def open_loader(dataset: Any, method: str, workers: int) -> DataLoader:
    """Open a DataLoader and start its workers.

    Args:
        dataset: Data set with the training pipeline.
        method: A key of :data:`METHODS`.
        workers: Number of workers.
    """
    repeated = RepeatDataset(dataset, METHODS[method].repeats)
    loader = DataLoader(
        repeated,
        BATCH,
        sampler=SeededSampler(repeated, shuffle=True, seed=0),
        num_workers=workers,
        collate_fn=METHODS[method].collate,
        persistent_workers=True,
    )
    for _ in loader:  # start the workers and fill the page cache
        pass
    return loader


def measure_loaders(datasets: Mapping[str, Any], workers: int) -> List[Dict[str, Any]]:
    """Measure a DataLoader for each method, in turns.

    Args:
        datasets: A dict from each method to its data set with the training pipeline.
        workers: Number of workers.

    Returns:
        A dict for each method with ``method``, ``workers`` and ``samples_per_second``; with
        ``worker_ms`` and ``main_ms``, the processor time per sample of all workers and of the main
        process; and with ``private_mib``, the private memory of the largest worker in MiB.
    """
    loaders = {method: open_loader(data, method, workers) for method, data in datasets.items()}
    measured: Dict[str, List[List[float]]] = {method: [] for method in loaders}
    for _ in range(ROUNDS):
        for method, loader in loaders.items():
            measured[method].append(load_epoch(loader))
    rows = []
    for method, loader in loaders.items():
        speeds, worker_ms, main_ms = (summarize(values) for values in zip(*measured[method]))
        private = max(private_mib(worker.pid) for worker in loader._iterator._workers)
        times = dict(worker_ms=worker_ms, main_ms=main_ms)
        row = dict(method=method, workers=workers, samples_per_second=speeds)
        rows.append(dict(row, **times, private_mib=private))
    return rows


def load_epoch(loader: DataLoader) -> List[float]:
    """Load an epoch.

    Args:
        loader: A loader with persistent workers that are running.

    Returns:
        The samples/s, and the processor time per sample of all workers and of this process in ms.
    """
    workers = [worker.pid for worker in loader._iterator._workers]
    start = time.perf_counter(), sum(map(processor_seconds, workers)), time.process_time()
    count = sum(len(batch['inputs']) for batch in loader)
    end = time.perf_counter(), sum(map(processor_seconds, workers)), time.process_time()
    elapsed, in_workers, in_main = (last - first for first, last in zip(start, end))
    return [count / elapsed, 1e3 * in_workers / count, 1e3 * in_main / count]


def processor_seconds(pid: int) -> float:
    """Return the processor time of all threads of a process, in seconds.

    Args:
        pid: Process ID.
    """
    threads = Path(f'/proc/{pid}/task').iterdir()
    return sum(int((thread / 'schedstat').read_text().split()[0]) for thread in threads) / 1e9


def private_mib(pid: int) -> float:
    """Return the private memory of a process in MiB.

    Only ``Private_Dirty`` memory is counted. Pages of the pack that only this process has mapped
    are ``Private_Clean``, although these pages belong to the page cache.

    Args:
        pid: Process ID.
    """
    for line in Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines():
        if line.startswith('Private_Dirty:'):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f'/proc/{pid}/smaps_rollup has no line Private_Dirty.')


def workers_for(needed: float, speeds: Mapping[int, float]) -> Tuple[int, bool]:
    """Return the number of workers for a speed.

    Args:
        needed: Needed samples/s.
        speeds: A dict from the number of workers to the measured samples/s.

    Returns:
        The number of workers, and whether it was measured. The number is the smallest measured
        number that is fast enough. If no measured number is fast enough, the result is estimated
        from the largest measured number.
    """
    enough = [workers for workers, speed in speeds.items() if speed >= needed]
    if enough:
        return min(enough), True
    most = max(speeds)
    return math.ceil(needed * most / speeds[most]), False


def measure(root: Path, workers: List[int], needed: Optional[float]) -> Dict[str, Any]:
    """Make the files and the pack, and measure the speed of reading both.

    Args:
        root: Folder for the files.
        workers: Numbers of workers.
        needed: Needed samples/s, or None.

    Returns:
        A dict with ``crops`` and ``loader``. If ``needed`` is given, the dict also has the workers
        that each method needs, under the key ``needed``.
    """
    make_pairs(root / 'pairs')
    plan = plan_pack(open_set(root / 'pairs', []), root / 'pack')
    write_pack(plan)
    places = RAW, str(plan.path)
    sets = {
        name: open_set(root / 'pairs', method.pipeline, places[method.packed])
        for name, method in METHODS.items()
    }
    results: Dict[str, Any] = dict(
        crops=measure_crops(*(open_set(root / 'pairs', READ, place) for place in places)),
        loader=[row for count in workers for row in measure_loaders(sets, count)],
    )
    if needed is not None:
        results['needed'] = {}
        for method in sets:
            rows = [row for row in results['loader'] if row['method'] == method]
            speeds = {row['workers']: row['samples_per_second'].median for row in rows}
            results['needed'][method] = dict(
                zip(('workers', 'measured'), workers_for(needed, speeds))
            )
    return results


def report(results: Dict[str, Any]) -> str:
    """Return the table of :func:`measure`.

    Args:
        results: The results.
    """
    crops = results['crops']
    crop_ms = {name: 1e3 / crops[name].median for name in ('decoding', 'pack')}
    rows = [
        [f'crops, {name}', '-', crops[name].text(1), '-', f'{milliseconds:.2f}', '-', '-']
        for name, milliseconds in crop_ms.items()
    ]
    for row in results['loader']:
        method = row['method']
        share = crop_ms['pack' if METHODS[method].packed else 'decoding'] / (
            row['worker_ms'].median + row['main_ms'].median
        )
        rows.append(
            [
                f'pipeline, {method}',
                str(row['workers']),
                row['samples_per_second'].text(1),
                row['worker_ms'].text(2),
                row['main_ms'].text(2),
                f'{100 * share:.0f} %',
                f'{row["private_mib"]:.1f}',
            ]
        )
    ratio = f'Pack / decoding, for crops: {crops["ratio"].text(1)}.'
    return f'{text_table(HEADER, rows)}\n\n{LEGEND}\n{ratio}'


def report_needed(needed: float, choices: Dict[str, Any]) -> str:
    """Return the number of workers that each method needs, as text.

    Args:
        needed: Needed samples/s.
        choices: The part ``needed`` of the results.
    """
    lines = [f'A training step of {needed:g} images/s needs:']
    for method, choice in choices.items():
        source = 'measured' if choice['measured'] else 'estimated from the most workers'
        lines.append(f'  {method}: num_workers={choice["workers"]} ({source})')
    return '\n'.join(lines)


def main(argv: List[str]) -> None:
    """Measure, print the results and write them."""
    args = parse_args(argv)
    import_sibling('mmagic')
    MMLogger.get_current_instance().setLevel('WARNING')
    cv2.setNumThreads(0)  # workers use a single thread too
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), args.workers, args.needed)
    print(report(results))
    if args.needed is not None:
        print(f'\n{report_needed(args.needed, results["needed"])}')
    if args.json:
        write_record(args.json, CPU, results, argv)


if __name__ == '__main__':
    run_main(main)
