"""Measure the speed of blur synthesis in a worker and on the device of the model.

python tools/benchmark/blur_synthesis.py --device cuda --batch 8

The settings of the blur are those of configs/_base_/datasets/own_photos.py; the photos have
1280x720 pixels. The tool times one worker that blurs with OpenCV, one worker that only draws the
blur (on_device=True), and the device that computes it, with the copies to the device.
"""

import argparse
import itertools
from typing import Any, Callable, Dict, List

import cv2
import numpy as np
import torch
from common import CONFIGS, make_parser, make_photo, write_record
from measure import allocated_peak, clock_for, paired_ratio, summarize, time_in_turns
from mmengine.config import Config
from mmengine.structures import BaseDataElement

from mmspd.registry import TRANSFORMS
from mmspd.utils.cli import at_least_one, run_main
from mmspd.utils.deferred import compute_pairs
from mmspd.utils.device import check_device
from mmspd.utils.tables import text_table

SIZE = (720, 1280)
#: Number of different batches.
BATCHES = 4
CPU = torch.device('cpu')


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, rounds=8)
    parser.add_argument('--batch', type=at_least_one, default=8, help='samples (default: 8)')
    parser.add_argument('--crop', type=at_least_one, default=256, help='side (default: 256)')
    return parser.parse_args(argv)


def make_worker(batch: int, crop: int, on_device: bool) -> Callable[[], List[Dict[str, Any]]]:
    """Return a function that makes the samples of the next batch, as a worker does.

    Args:
        batch: Number of samples.
        crop: Side of the crops.
        on_device: Whether the samples are only drawn.
    """
    base = Config.fromfile(CONFIGS / '_base_' / 'datasets' / 'own_photos.py')
    settings = dict(base.own_photos_train.pipeline[1], gt_patch_size=crop, on_device=on_device)
    synthesize = TRANSFORMS.build(settings)
    photo = make_photo(*SIZE)
    photo.setflags(write=False)  # like a photo of a pack
    seeds = itertools.cycle(range(BATCHES))

    def work() -> List[Dict[str, Any]]:
        np.random.seed(next(seeds))
        return [synthesize(dict(gt=photo, gt_path='photo')) for _ in range(batch)]

    return work


def measure(device: torch.device, batch: int, crop: int, rounds: int) -> Dict[str, Any]:
    """Measure the worker and the device.

    Args:
        device: Device of the model.
        batch: Samples of a batch.
        crop: Side of the crops in pixels.
        rounds: Timed calls of each part.

    Returns:
        A dict with the samples/s of ``blurring`` and ``drawing`` in a worker and of ``device``, the
        ``ratio`` drawing / blurring, the seconds of a batch on the device, and the peak of its
        memory in MiB.
    """
    blurring, drawing = (make_worker(batch, crop, on_device) for on_device in (False, True))
    times = time_in_turns(dict(blurring=blurring, drawing=drawing), CPU, rounds, 1, clock_for(CPU))
    drawn = itertools.cycle([[sample['img'] for sample in drawing()] for _ in range(BATCHES)])

    def compute() -> None:
        elements = [BaseDataElement() for _ in range(batch)]
        compute_pairs(dict(inputs=next(drawn), data_samples=elements), device)

    times['device'] = time_in_turns({0: compute}, device, rounds, 2, clock_for(device))[0]
    rates = {part: summarize([batch / each for each in times[part]]) for part in times}
    return dict(
        **rates,
        ratio=paired_ratio(times['blurring'], times['drawing']),
        seconds=summarize(times['device']),
        mib=allocated_peak(compute, device) / 2**20,
        batch=batch,
        crop=crop,
    )


def report(results: Dict[str, Any]) -> str:
    """Return the table of :func:`measure`.

    Args:
        results: The results.
    """
    names = dict(
        blurring='worker, blurring', drawing='worker, drawing (on_device=True)', device='device'
    )
    rows = [[name, results[part].text(1)] for part, name in names.items()]
    return (
        f'{text_table(("", "samples/s (quartiles)"), rows)}\n\n'
        f'Drawing / blurring, speed of a worker: {results["ratio"].text(1)}. The device needs '
        f'{results["seconds"].text(1, 1e3)} ms\nand {results["mib"]:.0f} MiB for a batch of '
        f'{results["batch"]} crops of {results["crop"]}x{results["crop"]} pixels.'
    )


def main(argv: List[str]) -> None:
    """Measure, print the results and write them."""
    args = parse_args(argv)
    device = check_device(args.device)
    cv2.setNumThreads(0)  # workers use a single thread
    results = measure(device, args.batch, args.crop, args.rounds)
    print(report(results))
    if args.json:
        write_record(args.json, device, results, argv)


if __name__ == '__main__':
    run_main(main)
