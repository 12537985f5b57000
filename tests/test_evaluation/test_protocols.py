from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from samples import sample
from skimage import data

from mmspd.registry import METRICS

PROTOCOLS = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'protocols'
NAMES = {
    'gopro': {'PSNR', 'PSNR-input', 'PSNR-gain', 'SSIM-matlab', 'SSIM-2d'},
    'gopro_truncated': {'PSNR', 'PSNR-input', 'PSNR-gain', 'SSIM-matlab', 'SSIM-2d'},
    'pixel_difference': {'largest-difference', 'equal-values'},
    'realblur_aligned': {'PSNR-aligned', 'SSIM-aligned', 'aligned-failed'},
    'lpips': {'LPIPS-alex-v0.1', 'LPIPS-vgg-v0.1'},
    'no_reference': {'blur-effect', 'blur-effect-input', 'NIQE', 'NIQE-input'},
}


def metrics_of(name):
    return Config.fromfile(PROTOCOLS / f'{name}.py')[f'{name}_metrics']


@pytest.mark.parametrize('name', sorted(NAMES.keys() - {'lpips'}))
def test_a_protocol_reports_its_metrics(name):
    metrics = metrics_of(name)
    for metric in metrics:
        if 'workers' in metric:
            metric['workers'] = 0
    evaluator = Evaluator([METRICS.build(metric) for metric in metrics])
    sharp = np.ascontiguousarray(data.astronaut()[:96, 100:292])
    blurry = np.roll(sharp, 1, axis=1)
    image = sample(blurry, sharp, blurry, key='a')
    if name == 'no_reference':
        del image['gt_img']
    evaluator.process([image])
    assert set(evaluator.evaluate(1)) >= NAMES[name]


def test_lpips_has_both_backbones_with_torchvisions_weights():
    built = [METRICS.build(metric) for metric in metrics_of('lpips') if 'net' in metric]
    assert [metric.weights for metric in built] == ['torchvision', 'torchvision']
    assert {f'LPIPS-{metric.net}-v0.1' for metric in built} == NAMES['lpips']


def test_every_protocol_is_tested():
    assert {path.stem for path in PROTOCOLS.glob('*.py')} == set(NAMES)
