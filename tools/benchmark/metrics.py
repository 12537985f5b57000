"""Measure how long the metrics take for one image, on one core of the CPU.

SSIM is compared with scikit-image's, the plain implementation. The metrics take turns, so that all
meet the same load of the machine.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import List

import cv2
import numpy as np
import torch
from common import write_record
from measure import paired_ratio, summarize, time_in_turns
from skimage.metrics import structural_similarity

from mmspd.evaluation import NIQE, BlurEffect
from mmspd.evaluation.metrics import aligned_scores, psnr, ssim_2d, ssim_matlab
from mmspd.utils.cli import at_least_one, run_main


def make_pair(height: int, width: int) -> List[np.ndarray]:
    """Make a restored image with noise, a little shifted, and its sharp one."""
    rng = np.random.default_rng(0)
    sharp = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), (0, 0), 3)
    sharp = cv2.normalize(sharp, None, 0, 255, cv2.NORM_MINMAX)
    moved = np.roll(sharp, 1, axis=1).astype(np.float64)
    return [np.clip(moved + rng.normal(0, 3, moved.shape), 0, 255).astype(np.uint8), sharp]


def skimage_ssim(restored: np.ndarray, sharp: np.ndarray) -> float:
    """2-D SSIM by scikit-image."""
    window = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    return structural_similarity(restored, sharp, data_range=255, channel_axis=2, **window)


def main(argv: List[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--size', type=at_least_one, nargs=2, default=(720, 1280), metavar=('H', 'W')
    )
    parser.add_argument('--runs', type=at_least_one, default=5, help='of each metric (default: 5)')
    parser.add_argument('--json', type=Path, help='write all figures to this file')
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    blur_effect, niqe = BlurEffect(), NIQE()
    functions = {
        'PSNR': psnr,
        'SSIM-2d': ssim_2d,
        'SSIM-matlab': ssim_matlab,
        'SSIM-2d of scikit-image': skimage_ssim,
        'blur-effect': lambda restored, _: blur_effect.judge(restored),
        'NIQE': lambda restored, _: niqe.judge(restored),
        'PSNR- and SSIM-aligned': aligned_scores,
    }
    pair = make_pair(*args.size)
    runs = {name: partial(function, *pair) for name, function in functions.items()}
    cpu = torch.device('cpu')
    times = time_in_turns(runs, cpu, args.runs)
    found = [
        dict(
            metric=name,
            seconds=summarize(seconds)._asdict(),
            ratio=paired_ratio(seconds, times['SSIM-2d'])._asdict(),
        )
        for name, seconds in times.items()
    ]
    print(f'{args.size[1]}x{args.size[0]}: ms, and as a multiple of SSIM-2d (medians)')
    for row in found:
        milliseconds = 1e3 * row['seconds']['median']
        print(f'{row["metric"]:24} {milliseconds:8.1f} {row["ratio"]["median"]:7.2f}')
    if args.json:
        write_record(args.json, cpu, found, argv)


if __name__ == '__main__':
    run_main(main)
