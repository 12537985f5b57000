"""MSSNet against facts of the official code and an independent functional implementation."""

import pytest
import torch
from restorer_contract import OwnRestorerContract, guide

from mmspd.errors import UserError
from mmspd.registry import build_model

SMALL = dict(type='mmspd.MSSNet', base=4, growth=2, coarse_growth=3)
ALL_UNETS = ('1_1', '2_1', '2_2', '3_1', '3_2', '3_3')


def _shrink_corners(x):
    """Bilinear resize to half the size with aligned corners, as two matrix products."""

    def matrix(size):
        at = torch.arange(size // 2, dtype=x.dtype) * (size - 1) / (size // 2 - 1)
        distance = (at[:, None] - torch.arange(size, dtype=x.dtype)).abs()
        return (1 - distance).clamp(min=0)

    return matrix(x.shape[-2]) @ x @ matrix(x.shape[-1]).T


def _unshuffle(x):
    """Channel-major: all four pixels of a channel, then the next channel."""
    parts = [x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return torch.stack(parts, 2).flatten(1, 2)


def _shuffle(x):
    rows, columns = x.shape[-2:]
    x = x.view(len(x), 3, 2, 2, rows, columns).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(len(x), 3, rows * 2, columns * 2)


@pytest.mark.slow
class TestMSSNet(OwnRestorerContract):
    restorer = dict(SMALL, num_unets=(1, 1, 2))
    small = SMALL  # its recipe names seams of all six U-Nets
    num_outputs = 4
    official_sizes = [
        (dict(base=20, growth=40, coarse_growth=40), 6_756_161, 41.00, 328),
        ({}, 15_614_497, 144.89, 328),
        (dict(base=80, growth=50, coarse_growth=50), 28_182_041, 288.78, 328),
    ]
    variants = ({}, dict(num_unets=(1, 2, 3)))

    def reference(self, weights, img, cfg):
        conv = weights.conv

        def unet(x, name, previous=None):
            enc = weights.encode(x, f'E{name}', previous)
            return enc, weights.decode(enc, f'D{name}')

        def next_scale(img, features, scale):
            """The input of the first U-Net of the next scale, and the features that it fuses."""
            x = conv(weights.double(features[1][0]), f'up_scale{scale - 1}_feat.scaleUp.1')
            x = conv(torch.cat([weights.shallow(img, scale), x], 1), f'fusion{scale - 1}{scale}')
            return x, [[weights.double(z) for z in part] for part in features]

        half = _shrink_corners(img)
        f = unet(weights.shallow(_unshuffle(half), 1), '1_1')
        outputs = [_shuffle(conv(f[1][0], 'tail1_1.tail')) + half]
        x, f = next_scale(_unshuffle(img), f, 2)
        for number in range(cfg['num_unets'][1]):
            name = f'2_{number + 1}'
            f = unet(x, name, f)
            x = f[1][0]
            outputs.append(_shuffle(conv(x, f'tail{name}.tail')) + img)
        x, f = next_scale(img, f, 3)
        for number in range(cfg['num_unets'][2]):
            name = f'3_{number + 1}'
            f = unet(x, name, f)
            x = f[1][0]
            outputs.append(conv(x, f'tail{name}') + img)
        return outputs


def test_outputs_one_half_then_five_full_size():
    with torch.no_grad():
        outputs = build_model(SMALL)(torch.rand(1, 3, 37, 50))
    assert [tuple(out.shape[2:]) for out in outputs] == [(19, 25)] + [(37, 50)] * 5


@pytest.mark.slow
def test_every_u_net_takes_all_levels_of_the_prior():
    embedding = guide(SMALL).embedding
    expected = {f'D{unet}.dec{level}': level - 1 for unet in ALL_UNETS for level in (3, 2, 1)}
    assert embedding.levels == expected
    assert embedding.fusions['D1_1_dec3'].scale == 8 / 16
    assert embedding.fusions['D3_3_dec1'].scale == 2 / 1
    some = guide(SMALL, seams=['D1_1.dec2', 'D1_1.dec1', 'D3_3.dec3']).embedding
    assert some.levels == {'D1_1.dec2': 1, 'D1_1.dec1': 0, 'D3_3.dec3': 0}


@pytest.mark.parametrize('num_unets', [(1, 2), (1, 0, 3)])
def test_number_of_u_nets(num_unets):
    with pytest.raises(UserError, match='num_unets=.*; give three positive numbers'):
        build_model(dict(SMALL, num_unets=num_unets))
