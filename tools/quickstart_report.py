"""Report the result of the quick start: numbers and pictures of the validation photos.

python tools/quickstart_report.py configs/spd/quickstart.py CHECKPOINT --out-dir FOLDER
"""

import argparse
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
from mmengine.config import Config
from mmengine.runner import set_random_seed
from torch import Tensor

from mmspd.apis import init_model
from mmspd.datasets.image_io import read_rgb, write_png
from mmspd.datasets.photo_io import to_tensor
from mmspd.evaluation import PSNR
from mmspd.registry import DATASETS
from mmspd.utils.cli import output_folder, run_main
from mmspd.utils.config_check import require_keys
from mmspd.utils.launch import read_config
from mmspd.visualization.pictures import picture_row, stack_rows
from mmspd.visualization.prior_picture import Palette, color_panel
from mmspd.visualization.prior_view import PriorView, view_prior
from mmspd.weights.sources import find_source

NUM_PICTURES = 6


def read_pairs(config: Config) -> Dict[str, Tuple[Tensor, Tensor]]:
    """Read the validation pairs of a config.

    Args:
        config: Config with ``val_dataloader``.

    Returns:
        A dict from each key to the blurry and the sharp image, ``(1, 3, H, W)``, RGB in [0, 1].
    """
    dataset = DATASETS.build(dict(config.val_dataloader.dataset, pipeline=[]))
    samples = [dataset.get_data_info(index) for index in range(len(dataset))]
    return {
        sample['key']: tuple(to_tensor(read_rgb(sample[key])) for key in ('img_path', 'gt_path'))
        for sample in samples
    }


def count_improved(before: np.ndarray, after: np.ndarray) -> int:
    """Count the images whose PSNR has increased by a printed digit.

    Args:
        before: PSNR of the blurry images.
        after: PSNR of the restored images.

    Returns:
        The number of images.
    """
    info = PSNR.info['PSNR']
    return sum(b > a and not info.are_equal(a, b) for a, b in zip(before, after))


def write_pictures(views: Dict[str, PriorView], folder: Path) -> List[Path]:
    """Write a picture per image: blurry, restored, sharp, and the levels of the prior.

    Args:
        views: Views of the images by key.
        folder: Output folder.

    Returns:
        The written files. The last file, ``overview.png``, shows all images.
    """
    palette = Palette(list(views.values()))
    rows, files = [], []
    for key, view in views.items():
        panels = [panel for row in palette.rows(view)[:2] for panel in row]
        images = [color_panel(panel, view.blurry.shape[:2]) for panel in panels]
        captions = [panel.title for panel in panels[:3]]
        captions += [f'prior, stride {panel.stride}' for panel in panels[3:]]
        rows.append(picture_row(images, captions))
        files.append(folder / f'{key.replace("/", "_")}.png')
        write_png(files[-1], rows[-1])
    files.append(folder / 'overview.png')
    write_png(files[-1], stack_rows(rows))
    return files


def main(argv: List[str]) -> None:
    """Print the numbers and the paths of the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of a guided model with a teacher')
    parser.add_argument('checkpoint', help='trained checkpoint of the config')
    parser.add_argument(
        '--out-dir', type=output_folder, required=True, help='folder for the pictures'
    )
    args = parser.parse_args(argv)
    checkpoint = find_source(args.checkpoint)
    config = read_config(args.config, {})
    require_keys(config, 'model.prior_loss', 'val_dataloader.dataset', 'randomness.seed')
    pairs = read_pairs(config)
    set_random_seed(config.randomness.seed)
    untrained, trained = init_model(config), init_model(config, checkpoint)
    views = {key: view_prior(trained, *pair) for key, pair in pairs.items()}

    before, after = np.transpose([view.psnr() for view in views.values()])
    gains = after - before
    # use the feature norms of the trained model for both distances
    untrained.prior_loss.norms = trained.prior_loss.norms
    distances = [
        np.mean([model.prior_distance(*pair).item() for pair in pairs.values()])
        for model in (untrained, trained)
    ]
    print(f'{len(pairs)} images of photos that are not in the training set:')
    print(
        f'  PSNR         {before.mean():.2f} dB blurry, {after.mean():.2f} dB restored '
        f'({gains.mean():+.2f} dB)'
    )
    print(f'  improved     {count_improved(before, after)} of {len(gains)} images')
    print(
        f'  prior loss   {distances[0]:.3f} before training, {distances[1]:.3f} after '
        f'({distances[1] / distances[0] - 1:+.0%})'
    )
    for name in next(iter(views.values())).seams:
        seams = [view.seams[name] for view in views.values()]
        mu, sigma = (np.mean(sizes) for sizes in zip(*[(s.mu_change, s.sigma_size) for s in seams]))
        print(f'  SAT at {name}  mean |mu - 1| {mu:.4f}, mean |sigma| {sigma:.4f}')
    keys = sorted(views)
    chosen = [keys[i] for i in np.linspace(0, len(keys) - 1, NUM_PICTURES).round().astype(int)]
    print('Pictures, each with blurry | restored | sharp | levels of the prior:')
    for file in write_pictures({key: views[key] for key in chosen}, args.out_dir):
        print(f'  {file}')


if __name__ == '__main__':
    run_main(main)
