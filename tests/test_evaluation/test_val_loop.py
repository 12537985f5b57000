import cv2
import numpy as np
import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import Runner

import mmspd  # noqa: F401
from mmspd.evaluation.metrics import psnr, ssim_2d
from mmspd.registry import MODELS

IMAGES = 13


@pytest.fixture
def pairs(tmp_path):
    """More pairs than the loop's timer needs to fail, which differ in color, and their values."""
    rng = np.random.default_rng(0)
    images = []
    for number in range(IMAGES):
        sharp = rng.integers(0, 256, (16, 20, 3), dtype=np.uint8)
        sharp[..., 0] = 250
        blur = cv2.blur(sharp, (3, 3))
        for name, image in (('input', blur), ('target', sharp)):
            (tmp_path / name).mkdir(exist_ok=True)
            path = str(tmp_path / name / f'{number:02d}.png')
            cv2.imwrite(path, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        images.append((sharp, blur))
    return tmp_path, images


@MODELS.register_module()
class AddOffset(BaseModule):
    """Stand for a network: red brighter, blue darker, by amounts that do not survive clamping."""

    def forward(self, images):
        offset = torch.tensor([20.3, 0.0, -20.3]).view(1, 3, 1, 1) / 255
        return images + offset


def test_stock_val_loop_over_more_than_ten_images(pairs, tmp_path):
    root, images = pairs
    runner = Runner(
        model=dict(
            type='BaseEditModel',
            generator=dict(type='mmspd.AddOffset'),
            pixel_loss=dict(type='L1Loss'),
            data_preprocessor=dict(type='DataPreprocessor', mean=[0.0] * 3, std=[255.0] * 3),
        ),
        work_dir=str(tmp_path / 'work'),
        val_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='mmspd.SeededSampler', shuffle=False),
            dataset=dict(
                type='mmspd.PairedFolderDataset',
                data_root=str(root),
                pipeline=[dict(type='mmspd.LoadImagePair'), dict(type='PackInputs')],
            ),
        ),
        val_cfg=dict(),
        val_evaluator=dict(
            type='mmengine.Evaluator',
            metrics=[dict(type='mmspd.PSNR', report_input=True), dict(type='mmspd.SSIM')],
        ),
        default_hooks=dict(timer=dict(type='mmengine.IterTimerHook')),
        default_scope='mmagic',
        experiment_name='val_loop',
    )
    means = runner.val()
    offset = np.array([20.3, 0.0, -20.3])
    preds = [np.clip(np.rint(blur + offset), 0, 255).astype(np.uint8) for _, blur in images]
    sharps = [sharp for sharp, _ in images]
    expected = {
        'PSNR': np.mean([psnr(*pair) for pair in zip(preds, sharps)]),
        'PSNR-input': np.mean([psnr(blur, sharp) for sharp, blur in images]),
        'SSIM-2d': np.mean([ssim_2d(*pair) for pair in zip(preds, sharps)]),
    }
    for key, value in expected.items():
        assert means[key] == pytest.approx(value, abs=1e-6)
