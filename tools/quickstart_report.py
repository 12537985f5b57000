"""What the quick start learnt: numbers on photos it was not trained on, and pictures of them.

python tools/quickstart_report.py configs/spd/quickstart.py CHECKPOINT --out-dir FOLDER
"""

import argparse
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import set_random_seed
from torch import Tensor

from mmspd.apis import load_model
from mmspd.datasets.gopro import GoProDataset
from mmspd.datasets.image_io import read_rgb
from mmspd.evaluation.metrics.functional import psnr
from mmspd.models.padding import pad_to_multiple
from mmspd.utils.cli import run_main
from mmspd.utils.pictures import feature_map, picture_row, stack_rows, to_uint8

NUM_PICTURES = 6


class Pair(NamedTuple):
    """A validation pair, ``(1, 3, H, W)``, RGB, [0, 1]."""

    key: str
    blurry: Tensor
    sharp: Tensor


class Result(NamedTuple):
    """A restored pair, its PSNR before and after, and the prior's maps."""

    pair: Pair
    restored: np.ndarray
    before: float
    after: float
    prior: List[Tensor]


def read_pairs(config: Config) -> List[Pair]:
    """Read the validation pairs of a config."""
    settings = config.val_dataloader.dataset
    dataset = GoProDataset(settings.data_root, split=settings.split, blur_key=settings.blur_key)

    def read(path: str) -> Tensor:
        return torch.from_numpy(read_rgb(path)).permute(2, 0, 1)[None] / 255

    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [Pair(s['key'], read(s['img_path']), read(s['gt_path'])) for s in samples]


@torch.no_grad()
def restore(model: BaseModel, pair: Pair) -> Result:
    """Restore a pair's blurry image and compare."""
    outputs, prior = model.generator.forward_with_prior(pair.blurry)
    restored, sharp = to_uint8(outputs[-1][0]), to_uint8(pair.sharp[0])
    before = psnr(to_uint8(pair.blurry[0]), sharp)
    return Result(pair, restored, before, psnr(restored, sharp), [level[0] for level in prior])


def prior_distance(model: BaseModel, pairs: List[Pair]) -> float:
    """Mean prior loss over pairs."""
    return float(np.mean([model.prior_distance(p.blurry, p.sharp).item() for p in pairs]))


@torch.no_grad()
def modulation(model: BaseModel, pairs: List[Pair]) -> Dict[str, Tuple[float, float]]:
    """Mean |mu - 1| and |sigma| of SAT at every seam; the identity has zeros."""
    generator = model.generator
    sums = {seam: np.zeros(2) for seam in generator.embedding.levels}
    for pair in pairs:
        prior = generator.prior(pad_to_multiple(pair.blurry, generator.multiple))
        aggregated = generator.embedding.aggregate(prior)
        for seam, level in generator.embedding.levels.items():
            sat = generator.embedding.fusions[seam]
            maps = sat.delta(aggregated[level]), sat.sigma(aggregated[level])
            sums[seam] += [float(m.abs().mean()) for m in maps]
    return {seam: tuple(total / len(pairs)) for seam, total in sums.items()}


def write_pictures(results: List[Result], strides: Tuple[int, ...], folder: Path) -> List[Path]:
    """Write a row per image: blurry, restored, sharp, and the prior's levels, fine to coarse."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, files = [], []
    for result in results:
        size = tuple(result.pair.sharp.shape[-2:])
        maps = [feature_map(f, size, stride) for f, stride in zip(result.prior, strides)]
        images = [to_uint8(result.pair.blurry[0]), result.restored, to_uint8(result.pair.sharp[0])]
        captions = [f'blurry {result.before:.2f} dB', f'restored {result.after:.2f} dB', 'sharp']
        captions += [f'prior, stride {stride}' for stride in strides]
        rows.append(picture_row(images + maps, captions))
        files.append(folder / f'{result.pair.key.replace("/", "_")}.png')
        cv2.imwrite(str(files[-1]), rows[-1][..., ::-1])
    files.append(folder / 'overview.png')
    cv2.imwrite(str(files[-1]), stack_rows(rows)[..., ::-1])
    return files


def main(argv: List[str]) -> None:
    """Print the numbers and the paths of the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of a guided model with a teacher')
    parser.add_argument('checkpoint', help='its trained checkpoint')
    parser.add_argument('--out-dir', type=Path, required=True, help='folder for the pictures')
    args = parser.parse_args(argv)
    config = Config.fromfile(args.config)
    pairs = read_pairs(config)
    set_random_seed(config.randomness.seed)
    untrained, trained = load_model(config), load_model(config, args.checkpoint)
    results = [restore(trained, pair) for pair in pairs]

    gains = np.array([result.after - result.before for result in results])
    before, after = (np.mean([r[i] for r in results]) for i in (2, 3))
    distances = [prior_distance(model, pairs) for model in (untrained, trained)]
    print(f'{len(pairs)} images of photos that were not trained on:')
    print(
        f'  PSNR         {before:.2f} dB blurry, {after:.2f} dB restored ({gains.mean():+.2f} dB)'
    )
    print(f'  improved     {(gains > 0).sum()} of {len(gains)} images')
    print(
        f'  prior loss   {distances[0]:.3f} before training, {distances[1]:.3f} after '
        f'({distances[1] / distances[0] - 1:+.0%})'
    )
    for seam, (mu, sigma) in modulation(trained, pairs).items():
        print(f'  SAT at {seam}  mean |mu - 1| {mu:.4f}, mean |sigma| {sigma:.4f}')
    chosen = sorted(results, key=lambda r: r.pair.key)
    chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, NUM_PICTURES).round().astype(int)]
    print('Pictures, each blurry | restored | sharp | prior by level:')
    for file in write_pictures(chosen, trained.generator.prior.strides, args.out_dir):
        print(f'  {file}')


if __name__ == '__main__':
    run_main(main)
