"""DeepDeblur against facts of the official code and an independent functional implementation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from restorer_contract import OwnRestorerContract
from skimage.transform import pyramid_gaussian

from mmspd.registry import build_model


def _pyramid(batch):
    """scikit-image's pyramids of images ``(N, 3, H, W)``, fine to coarse."""
    images = [pyramid_gaussian(one.permute(1, 2, 0).numpy(), 2, channel_axis=-1) for one in batch]
    return [torch.tensor(np.stack(level)).permute(0, 3, 1, 2) for level in zip(*images)]


class TestDeepDeblur(OwnRestorerContract):
    restorer = dict(type='mmspd.DeepDeblur', base=8, num_res=2)
    num_outputs = 3
    official_sizes = [
        ({}, 11_721_321, 335.9429, 244),
        (dict(num_res=6), 3_729_129, 106.9339, 88),
    ]
    variants = (dict(num_res=1), dict(num_res=3))

    def reference(self, weights, img, cfg):
        """The official forward pass on 0..255, with scikit-image's pyramid."""

        def body(x, scale):
            name = f'body_models.{scale}.body'
            x = weights.conv(x, f'{name}.0')
            for block in range(1, cfg['num_res'] + 1):
                y = weights.conv(x, f'{name}.{block}.body.0').relu()
                x = x + weights.conv(y, f'{name}.{block}.body.2')
            return weights.conv(x, f'{name}.{cfg["num_res"] + 1}')

        def double(x, scale):
            y = weights.conv(x, f'conv_end_models.{scale}.uppath.0')  # (N, 12, H, W)
            rows = torch.stack([y[:, 0::4], y[:, 1::4]], -1).flatten(-2)
            below = torch.stack([y[:, 2::4], y[:, 3::4]], -1).flatten(-2)
            return torch.stack([rows, below], -2).flatten(-3, -2)

        levels = _pyramid(img * 255)
        out4 = body(levels[2] - 127.5, 2)
        out2 = body(torch.cat([levels[1] - 127.5, double(out4, 2)], 1), 1)
        out1 = body(torch.cat([levels[0] - 127.5, double(out2, 1)], 1), 0)
        return [(out + 127.5) / 255 for out in (out4, out2, out1)]


def test_official_loss():
    """The recipe's loss is the sum over the scales of the mean absolute error on 0..255."""
    from mmagic.structures import DataSample

    recipe = Config.fromfile(Path(__file__).parents[3] / 'configs/spd/deepdeblur_gopro.py').model
    recipe.generator.update(base=8, num_res=1)
    torch.manual_seed(0)
    model = build_model(recipe)
    blurry, sharp = torch.rand(2, 2, 3, 16, 24)
    data = DataSample()
    data.set_tensor_data(dict(gt_img=sharp))
    losses = model(blurry, data, mode='loss')
    with torch.no_grad():
        outs = model.generator(blurry)
    expected = sum(
        (out * 255 - level * 255).abs().mean() for out, level in zip(outs, _pyramid(sharp)[::-1])
    )
    assert list(losses) == ['loss_pix']
    assert losses['loss_pix'].item() == pytest.approx(expected.item(), rel=1e-5)


def test_seams_are_halfway_through_the_blocks():
    network = build_model(dict(type='mmspd.DeepDeblur', base=8, num_res=5)).eval()
    ran = []
    for name, module in network.named_modules():
        if name.endswith('.body') and name.count('.') == 4:
            module.register_forward_pre_hook(lambda m, i, name=name: ran.append(name))

    def record(seam, dec):
        ran.append((seam, tuple(dec.shape)))
        return dec

    with torch.no_grad():
        network(torch.rand(1, 3, 16, 24), record)
    for scale in range(3):
        name = f'body_models.{scale}.body'
        first = ran.index(f'{name}.1.body')
        blocks = [f'{name}.{block}.body' for block in range(1, 6)]
        seam = (f'scale{scale}', (1, 8, 16 >> scale, 24 >> scale))
        assert ran[first : first + 6] == [*blocks[:2], seam, *blocks[2:]]
