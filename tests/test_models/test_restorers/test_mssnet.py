"""MSSNet against the facts of its official code and a plain functional re-computation."""

import pytest
import torch
import torch.nn.functional as F
from restorer_contract import OwnRestorerContract, count_parameters, guide
from torch.utils.flop_counter import FlopCounterMode

from mmspd.errors import UserError
from mmspd.registry import build_model

SMALL = dict(type='mmspd.MSSNet', base=4, growth=2, coarse_growth=3)
ALL_UNETS = ('1_1', '2_1', '2_2', '3_1', '3_2', '3_3')


def _keys(unets):
    keys = {f'up_scale{scale}_feat.scaleUp.1' for scale in (1, 2)} | {'fusion12', 'fusion23'}
    keys |= {f'shallow_feat{scale}.0' for scale in (1, 2, 3)}
    blocks = {f'shallow_feat{scale}.1' for scale in (1, 2, 3)}
    for unet in unets:
        keys |= {
            f'tail{unet}' if unet[0] == '3' else f'tail{unet}.tail',
            f'E{unet}.down12.down.1',
            f'E{unet}.down23.down.1',
        }
        keys |= {f'D{unet}.up21.up.1', f'D{unet}.up32.up.1'}
        blocks |= {f'D{unet}.skip_attn{level}' for level in (1, 2)}
        for level in (1, 2, 3):
            for part in ('E{}.encoder', 'D{}.decoder'):
                blocks |= {f'{part.format(unet)}_level{level}.{i}' for i in range(2)}
            if unet != '1_1':
                keys |= {f'E{unet}.csff_{part}{level}' for part in ('enc', 'dec')}
    keys |= {f'{block}.body.{i}' for block in blocks for i in range(3)}
    return {f'{key}.weight' for key in keys}


class TestMSSNet(OwnRestorerContract):
    restorer = dict(SMALL, num_unets=(1, 1, 2))
    num_outputs = 4
    official_keys = _keys(('1_1', '2_1', '3_1', '3_2'))
    compiled_sizes = ((35, 45),)


@pytest.mark.parametrize(
    ('sizes', 'parameters', 'gmac'),
    [
        ((20, 40, 40), 6_756_161, 41.00),
        ((54, 42, 42), 15_614_497, 144.89),
        ((80, 50, 50), 28_182_041, 288.78),
    ],
)
def test_official_sizes(sizes, parameters, gmac):
    arguments = dict(zip(('base', 'growth', 'coarse_growth'), sizes))
    network = build_model(dict(type='mmspd.MSSNet', **arguments))
    assert count_parameters(network) == parameters
    assert len(network.state_dict()) == 328
    assert set(network.state_dict()) == _keys(ALL_UNETS)
    assert len(list(network.parameters())) == 242
    slopes = {v.data_ptr() for v in network.state_dict().values() if v.numel() == 1}
    assert len(slopes) == 1
    network.to('meta')
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, 256, 256, device='meta'))
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, rel=1e-4)


def test_the_defaults_are_mssnet():
    assert count_parameters(build_model(dict(type='mmspd.MSSNet'))) == 15_614_497


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


def _reference(state, img):
    """The forward from its description, with nothing but functional calls."""

    def conv(x, name):
        weight = state[f'{name}.weight']
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)

    def block(x, name):
        y = F.prelu(conv(x, f'{name}.body.0'), state['shallow_feat1.1.body.1.weight'])
        return x + conv(y, f'{name}.body.2')

    def double(x):
        size = (x.shape[-2] * 2, x.shape[-1] * 2)
        return F.interpolate(x, size, mode='bilinear', align_corners=False)

    def unet(x, name, before):
        enc = []
        for level in (1, 2, 3):
            if level > 1:
                x = conv(F.avg_pool2d(x, 2), f'E{name}.down{level - 1}{level}.down.1')
            for i in (0, 1):
                x = block(x, f'E{name}.encoder_level{level}.{i}')
            if before:
                x = x + conv(before[0][level - 1], f'E{name}.csff_enc{level}')
                x = x + conv(before[1][level - 1], f'E{name}.csff_dec{level}')
            enc.append(x)
        dec = [None, None, None]
        for level in (3, 2, 1):
            if level < 3:
                x = conv(double(x), f'D{name}.up{level + 1}{level}.up.1')
                x = x + block(enc[level - 1], f'D{name}.skip_attn{level}')
            for i in (0, 1):
                x = block(x, f'D{name}.decoder_level{level}.{i}')
            dec[level - 1] = x
        return enc, dec

    def shallow(x, scale):
        return block(conv(x, f'shallow_feat{scale}.0'), f'shallow_feat{scale}.1')

    def enlarge(features):
        return [[double(z) for z in part] for part in features]

    half = _shrink_corners(img)
    f = unet(shallow(_unshuffle(half), 1), '1_1', None)
    outputs = [_shuffle(conv(f[1][0], 'tail1_1.tail')) + half]
    x = torch.cat(
        [shallow(_unshuffle(img), 2), conv(double(f[1][0]), 'up_scale1_feat.scaleUp.1')], 1
    )
    f = unet(conv(x, 'fusion12'), '2_1', enlarge(f))
    outputs.append(_shuffle(conv(f[1][0], 'tail2_1.tail')) + img)
    f = unet(f[1][0], '2_2', f)
    outputs.append(_shuffle(conv(f[1][0], 'tail2_2.tail')) + img)
    x = torch.cat([shallow(img, 3), conv(double(f[1][0]), 'up_scale2_feat.scaleUp.1')], 1)
    f = unet(conv(x, 'fusion23'), '3_1', enlarge(f))
    outputs.append(conv(f[1][0], 'tail3_1') + img)
    for name in ('3_2', '3_3'):
        f = unet(f[1][0], name, f)
        outputs.append(conv(f[1][0], f'tail{name}') + img)
    return outputs


def test_numerics():
    torch.manual_seed(0)
    network = build_model(SMALL).double().eval()
    img = torch.rand(2, 3, 32, 48, dtype=torch.float64)
    with torch.no_grad():
        outputs, want = network(img), _reference(network.state_dict(), img)
    assert len(outputs) == len(want) == 6
    for got, expected in zip(outputs, want):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def test_outputs_one_half_then_five_full_size():
    with torch.no_grad():
        outputs = build_model(SMALL)(torch.rand(1, 3, 37, 50))
    assert [tuple(out.shape[2:]) for out in outputs] == [(19, 25)] + [(37, 50)] * 5


def test_every_u_net_takes_all_levels_of_the_prior():
    embedding = guide(SMALL).embedding
    want = {f'D{unet}.dec{level}': level - 1 for unet in ALL_UNETS for level in (3, 2, 1)}
    assert embedding.levels == want
    assert embedding.fusions['D1_1_dec3'].scale == 8 / 16
    assert embedding.fusions['D3_3_dec1'].scale == 2 / 1
    some = guide(SMALL, seams=['D1_1.dec2', 'D1_1.dec1', 'D3_3.dec3']).embedding
    assert some.levels == {'D1_1.dec2': 1, 'D1_1.dec1': 0, 'D3_3.dec3': 0}


@pytest.mark.parametrize('num_unets', [(1, 2), (1, 0, 3)])
def test_number_of_u_nets(num_unets):
    with pytest.raises(UserError, match='num_unets=.* must be three positive numbers'):
        build_model(dict(SMALL, num_unets=num_unets))
