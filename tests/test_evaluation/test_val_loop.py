import cv2
import numpy as np
import pytest
import torch
from mmengine.model import BaseModule

from mmspd.evaluation.metrics import psnr, ssim_2d
from mmspd.registry import MODELS

#: MMagic's own model, and metrics on batches of two.
CONFIG = """
model = dict(
    type='mmagic.BaseEditModel', generator=dict(type='mmspd.AddOffset'),
    pixel_loss=dict(type='mmagic.L1Loss'),
    data_preprocessor=dict(type='mmagic.DataPreprocessor', mean=[0.0] * 3, std=[255.0] * 3))
val_dataloader.update(batch_size=2)
val_dataloader['dataset']['data_root'] = r'{root}'
val_evaluator['metrics'] = [dict(type='mmspd.PSNR', report_input=True), dict(type='mmspd.SSIM')]
"""


@MODELS.register_module()
class AddOffset(BaseModule):
    """Imitate a network that makes red brighter and blue darker, beyond the range of the values."""

    def forward(self, images):
        offset = torch.tensor([20.3, 0.0, -20.3]).view(1, 3, 1, 1) / 255
        return images + offset


def test_mmengines_val_loop_over_more_than_ten_images(make_runner, tmp_path):
    """The timer of the loop fails after ten images. The pairs differ in color."""
    rng, values = np.random.default_rng(0), []
    for number in range(13):
        sharp = rng.integers(0, 256, (16, 20, 3), dtype=np.uint8)
        sharp[..., 0] = 250
        blur = cv2.blur(sharp, (3, 3))
        for name, image in (('input', blur), ('target', sharp)):
            (tmp_path / name).mkdir(exist_ok=True)
            path = str(tmp_path / name / f'{number:02d}.png')
            cv2.imwrite(path, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        restored = np.clip(np.rint(blur + np.array([20.3, 0.0, -20.3])), 0, 255).astype(np.uint8)
        values.append((psnr(restored, sharp), psnr(blur, sharp), ssim_2d(restored, sharp)))
    means = make_runner(CONFIG.format(root=tmp_path)).val()
    measured = [means[name] for name in ('PSNR', 'PSNR-input', 'SSIM-2d')]
    assert measured == pytest.approx(np.mean(values, axis=0), abs=1e-6)
