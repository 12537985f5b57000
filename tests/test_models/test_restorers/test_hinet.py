"""HINet against facts of the official code and an independent functional implementation."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from restorer_contract import OwnRestorerContract, Weights

from mmspd.errors import UserError
from mmspd.registry import build_model
from mmspd.weights.official import fit_official

CONFIGS = Path(__file__).resolve().parents[3] / 'configs' / 'spd'
SMALL = dict(type='mmspd.HINet', wf=4)
POSITIONS = [(3, 4), None, (0, 4)]


def half_instance_norm(x, weights, name):
    """Normalize the first half of the channels with the population variance."""
    first, rest = x.chunk(2, dim=1)
    mean = first.mean((2, 3), keepdim=True)
    variance = (first - mean).square().mean((2, 3), keepdim=True)
    scale, shift = (weights[f'{name}.{each}'].view(1, -1, 1, 1) for each in ('weight', 'bias'))
    return torch.cat([(first - mean) / (variance + 1e-5).sqrt() * scale + shift, rest], 1)


class TestHINet(OwnRestorerContract):
    restorer = dict(SMALL, hin_position=(3, 4))
    small = SMALL
    num_outputs = 2
    pytestmark = pytest.mark.slow
    variants = tuple(dict(hin_position=position) for position in POSITIONS)
    official_sizes = [
        ({}, 88_668_806, 157.601, 186),
        (dict(hin_position=None), 88_665_734, 157.601, 178),
        (dict(hin_position=(0, 4)), 88_669_702, 157.601, 198),
        (dict(wf=32), 22_176_070, 39.5418, 186),
    ]

    def reference(self, weights, img, cfg):
        conv = weights.conv

        def block(x, name):
            y = conv(x, f'{name}.conv_1')
            if f'{name}.norm.weight' in weights:
                y = half_instance_norm(y, weights, f'{name}.norm')
            y = F.leaky_relu(conv(F.leaky_relu(y, 0.2), f'{name}.conv_2'), 0.2)
            return y + conv(x, f'{name}.identity')

        def unet(stage, x, previous):
            enc = []
            for level in range(5):
                name = f'down_path_{stage}.{level}'
                x = block(x, name)
                if previous and level < 4:
                    x = x + conv(previous[0][level], f'{name}.csff_enc')
                    # the decoder of the official code lists the deepest level first
                    x = x + conv(previous[1][3 - level], f'{name}.csff_dec')
                enc.append(x)
                if level < 4:
                    weight, bias = weights.layer(f'{name}.downsample')
                    assert bias is None
                    x = F.conv2d(x, weight, stride=2, padding=1)
            dec = []
            for index in range(4):
                up = F.conv_transpose2d(x, *weights.layer(f'up_path_{stage}.{index}.up'), stride=2)
                skip = conv(enc[3 - index], f'skip_conv_{stage}.{index}')
                x = block(torch.cat([up, skip], 1), f'up_path_{stage}.{index}.conv_block')
                dec.append(x)
            return enc, dec

        features = unet(1, conv(img, 'conv_01'), None)
        x = features[1][-1]
        image1 = conv(x, 'sam12.conv2') + img
        x = conv(x, 'sam12.conv1') * torch.sigmoid(conv(image1, 'sam12.conv3')) + x
        x = conv(torch.cat([conv(img, 'conv_02'), x], 1), 'cat12')
        return [image1, conv(unet(2, x, features)[1][-1], 'last') + img]


@torch.no_grad()
def with_unit_gain(network):
    """Draw weights that keep the variance, because small weights hide HIN in the skips."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.named_parameters():
        tensor.copy_(torch.randn(tensor.shape, generator=generator))
        if name.endswith('norm.weight'):
            tensor.mul_(0.2).add_(1)
        elif name.endswith('bias'):
            tensor.mul_(0.1)
        else:
            # a pixel of the 2x2 transposed convolution gets one position of the kernel
            fan_in = len(tensor) if name.endswith('up.weight') else tensor[0].numel()
            tensor.div_(math.sqrt(fan_in))
    return network


@pytest.mark.parametrize('position', [(3, 4), (0, 4), (1, 2)])
def test_hin_with_weights_that_show_it(position, monkeypatch):
    cfg = dict(SMALL, hin_position=position)
    network = with_unit_gain(build_model(cfg).double().eval())
    img = torch.rand(2, 3, 32, 48, dtype=torch.float64)
    weights = Weights(network.state_dict())

    def reference(norm=half_instance_norm):
        monkeypatch.setitem(globals(), 'half_instance_norm', norm)
        return TestHINet().reference(weights, img, cfg)

    real = half_instance_norm

    def change(norm):
        return max((a - b).abs().max() for a, b in zip(expected, reference(norm)))

    with torch.no_grad():
        outputs, expected = network(img), reference()
        torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-11)
        assert change(lambda x, *_: x) > 0.01
        assert change(lambda x, *names: real(x.roll(x.shape[1] // 2, 1), *names)) > 0.01


def test_an_image_of_one_deep_pixel_is_normalized_to_the_bias():
    network = with_unit_gain(build_model(SMALL).eval())
    norm = network.down_path_1[4].norm
    normalized = norm(torch.rand(2, 32, 1, 1))[..., 0, 0]
    torch.testing.assert_close(normalized, norm.bias.expand(2, 32), rtol=0, atol=1e-4)


@pytest.mark.parametrize('position', [(3,), (4, 3), (0, 5), (-1, 2)])
def test_positions_that_do_not_exist(position):
    with pytest.raises(UserError, match=r'hin_position=.*; use the first and the last level with'):
        build_model(dict(SMALL, hin_position=position))


@pytest.mark.parametrize(('built', 'given'), [(0, 1), (1, 0), (0, 2)])
def test_weights_of_other_positions_are_refused_by_both_names(built, given):
    titles = (
        'HINet for GoPro and REDS (HIN at levels 3 to 4)',
        'HINet for SIDD and Rain13k (HIN at levels 0 to 4)',
        'HINet 0.5x for SIDD (HIN at levels 0 to 4)',
    )
    sizes = [dict(hin_position=(3, 4)), dict(hin_position=(0, 4)), dict(wf=32, hin_position=(0, 4))]
    with torch.device('meta'):
        restorer, published = (
            build_model(dict(type='mmspd.HINet', **sizes[number])) for number in (built, given)
        )
    with pytest.raises(UserError) as error:
        fit_official(restorer, published.state_dict(), 'HINet.pth', 'model.load_official')
    message = str(error.value)
    assert message.startswith(f'model.load_official: HINet.pth does not fit {titles[built]}: ')
    assert message.endswith(
        f'; use weights of {titles[built]}, because these weights look like {titles[given]}.'
    )


def test_the_recipe_sums_the_psnr_loss_of_both_outputs():
    config = Config.fromfile(CONFIGS / 'hinet_gopro.py').model
    config.generator.wf = 4
    model = build_model(config)
    blurry, sharp = torch.rand(2, 2, 3, 32, 32)
    from mmagic.structures import DataSample

    sample = DataSample()
    sample.set_tensor_data(dict(gt_img=sharp))
    losses = model.forward_train(blurry, sample)
    errors = [(image - sharp).square().mean((1, 2, 3)) for image in model.generator(blurry)]
    want = sum(0.5 * 10 / math.log(10) * (error + 1e-8).log().mean() for error in errors)
    assert len(errors) == 2
    assert losses.keys() == {'loss_psnr'}
    torch.testing.assert_close(losses['loss_psnr'], want)
