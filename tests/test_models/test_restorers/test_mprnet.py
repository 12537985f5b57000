"""MPRNet against the facts of its official code and a plain functional re-computation."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import ExponentialMovingAverage
from restorer_contract import OwnRestorerContract, count_parameters, guide
from torch.utils.flop_counter import FlopCounterMode

from mmspd.errors import UserError
from mmspd.registry import build_model

SMALL = dict(type='mmspd.MPRNet', base=8, growth=4, orsnet_growth=4, num_cab=1, reduction=1)
STAGE1 = dict(SMALL, num_stages=1)


def _block(name):
    keys = {f'{name}.CA.conv_du.{i}' for i in (0, 2)}
    return keys | {f'{name}.body.{i}' for i in (0, 1, 2)}


def _unet(stage, csff):
    keys = {f'{stage}_encoder.down{step}.down.1' for step in (12, 23)}
    keys |= {f'{stage}_decoder.up{step}.up.1' for step in (21, 32)}
    for level in (1, 2, 3):
        for part in ('encoder', 'decoder'):
            for i in range(2):
                keys |= _block(f'{stage}_{part}.{part}_level{level}.{i}')
        if csff:
            keys |= {f'{stage}_encoder.csff_{part}{level}' for part in ('enc', 'dec')}
    return keys.union(*(_block(f'{stage}_decoder.skip_attn{level}') for level in (1, 2)))


def _keys(num_stages, num_cab):
    keys = {'shallow_feat1.0'} | _block('shallow_feat1.1') | _unet('stage1', False)
    if num_stages == 1:
        return {f'{key}.weight' for key in keys | {'sam12.conv2'}}
    keys |= {f'{sam}.conv{i}' for sam in ('sam12', 'sam23') for i in (1, 2, 3)}
    keys |= {'shallow_feat2.0', 'shallow_feat3.0', 'concat12', 'concat23', 'tail'}
    keys |= _block('shallow_feat2.1') | _block('shallow_feat3.1') | _unet('stage2', True)
    for i in (1, 2, 3):
        keys.add(f'stage3_orsnet.orb{i}.body.{num_cab}')
        for cab in range(num_cab):
            keys |= _block(f'stage3_orsnet.orb{i}.body.{cab}')
        keys |= {f'stage3_orsnet.conv_{part}{i}' for part in ('enc', 'dec')}
    for part in ('enc', 'dec'):
        keys.add(f'stage3_orsnet.up_{part}1.up.1')
        keys |= {f'stage3_orsnet.up_{part}2.{i}.up.1' for i in (0, 1)}
    return {f'{key}.weight' for key in keys}


class TestMPRNet(OwnRestorerContract):
    restorer = SMALL
    num_outputs = 3
    official_keys = _keys(3, 1)
    compiled_sizes = ((35, 45),)


class TestMPRNetStage1(OwnRestorerContract):
    restorer = STAGE1
    official_keys = _keys(1, 1)


def test_official_size():
    network = build_model(dict(type='mmspd.MPRNet'))
    assert count_parameters(network) == 20_127_073
    assert set(network.state_dict()) == _keys(3, 8)
    assert len(network.state_dict()) == 316
    assert len({id(tensor) for tensor in network.parameters()}) == 262
    parts = ('shallow_feat1', 'stage1_encoder', 'stage1_decoder', 'sam12')
    stage1 = {p for part in parts for p in getattr(network, part).parameters()}
    assert sum(p.numel() for p in stage1) == 5_764_321
    network.to('meta')
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, 256, 256, device='meta'))
    assert counter.get_total_flops() / 2e9 == pytest.approx(759.41, rel=1e-4)


def test_stage_1_alone_is_the_head_of_the_official_one():
    """5.7545 M without SAM, plus its 1x1 image head."""
    network = build_model(dict(type='mmspd.MPRNet', num_stages=1))
    assert count_parameters(network) == 5_754_817
    assert set(network.state_dict()) < _keys(3, 8)


def test_one_prelu_serves_the_whole_network():
    network = build_model(SMALL)
    slopes = {v.data_ptr() for k, v in network.state_dict().items() if v.numel() == 1}
    assert len(slopes) == 1
    slope = network.shallow_feat1[1].body[1].weight
    assert sum(p is slope for p in network.parameters()) == 1


def test_an_average_of_the_weights_moves_the_one_prelu_once():
    network = build_model(SMALL)
    average = ExponentialMovingAverage(network, momentum=0.5)
    average.update_parameters(network)
    slope = network.shallow_feat1[1].body[1].weight
    with torch.no_grad():
        slope.fill_(1.25)
    average.update_parameters(network)
    assert average.module.shallow_feat1[1].body[1].weight.item() == 0.75  # from 0.25


def _reference(state, img, num_cab, patches=True):
    """The official forward, patch by patch, from its description and functional calls."""

    def conv(x, name):
        weight = state[f'{name}.weight']
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)

    def cab(x, name):
        slope = state['shallow_feat1.1.body.1.weight']
        y = conv(x, f'{name}.body.0')
        y = conv(torch.where(y > 0, y, slope * y), f'{name}.body.2')
        gate = conv(F.adaptive_avg_pool2d(y, 1), f'{name}.CA.conv_du.0').relu()
        return x + y * torch.sigmoid(conv(gate, f'{name}.CA.conv_du.2'))

    def cabs(x, name):
        return cab(cab(x, f'{name}.0'), f'{name}.1')

    def half(x, name):
        return conv(F.avg_pool2d(x, 2), f'{name}.down.1')

    def double(x, name):
        size = (x.shape[-2] * 2, x.shape[-1] * 2)
        x = F.interpolate(x, size, mode='bilinear', align_corners=False)
        return conv(x, f'{name}.up.1')

    def shallow(x, stage):
        return cab(conv(x, f'shallow_feat{stage}.0'), f'shallow_feat{stage}.1')

    def encode(x, name, before=None):
        out = []
        for level in (1, 2, 3):
            if level > 1:
                x = half(x, f'{name}.down{level - 1}{level}')
            x = cabs(x, f'{name}.encoder_level{level}')
            if before is not None:
                enc, dec = before[0][level - 1], before[1][level - 1]
                x = x + conv(enc, f'{name}.csff_enc{level}') + conv(dec, f'{name}.csff_dec{level}')
            out.append(x)
        return out

    def decode(enc, name):
        dec3 = cabs(enc[2], f'{name}.decoder_level3')
        z = double(dec3, f'{name}.up32') + cab(enc[1], f'{name}.skip_attn2')
        dec2 = cabs(z, f'{name}.decoder_level2')
        z = double(dec2, f'{name}.up21') + cab(enc[0], f'{name}.skip_attn1')
        return [cabs(z, f'{name}.decoder_level1'), dec2, dec3]

    def sam(x, picture, name):
        restored = conv(x, f'{name}.conv2') + picture
        gate = torch.sigmoid(conv(restored, f'{name}.conv3'))
        return conv(x, f'{name}.conv1') * gate + x, restored

    def levels(parts, dim):
        return [torch.cat(part, dim) for part in zip(*parts)]

    def orb(x, name):
        y = x
        for i in range(num_cab):
            y = cab(y, f'{name}.body.{i}')
        return x + conv(y, f'{name}.body.{num_cab}')

    def orsnet(x, enc, dec):
        x = orb(x, 'stage3_orsnet.orb1')
        for level in (1, 2, 3):
            for part, features in (('enc', enc), ('dec', dec)):
                y = features[level - 1]
                if level == 2:
                    y = double(y, f'stage3_orsnet.up_{part}1')
                if level == 3:
                    y = double(y, f'stage3_orsnet.up_{part}2.0')
                    y = double(y, f'stage3_orsnet.up_{part}2.1')
                x = x + conv(y, f'stage3_orsnet.conv_{part}{level}')
            if level < 3:
                x = orb(x, f'stage3_orsnet.orb{level + 1}')
        return x

    rows, columns = (img.shape[-2] // 2, img.shape[-1] // 2) if patches else img.shape[-2:]
    enc1, dec1, gated1, image1, enc2 = [], [], [], [], []
    for strip in img.split(rows, -2):
        quadrants = strip.split(columns, -1)
        enc = [encode(shallow(patch, 1), 'stage1_encoder') for patch in quadrants]
        enc1.append(levels(enc, -1))
        dec1.append(decode(enc1[-1], 'stage1_decoder'))
        gated, restored = sam(dec1[-1][0], strip, 'sam12')
        gated1.append(gated)
        image1.append(restored)
    for i, strip in enumerate(img.split(rows, -2)):
        x = conv(torch.cat([shallow(strip, 2), gated1[i]], 1), 'concat12')
        enc2.append(encode(x, 'stage2_encoder', (enc1[i], dec1[i])))
    enc2 = levels(enc2, -2)
    dec2 = decode(enc2, 'stage2_decoder')
    gated, image2 = sam(dec2[0], img, 'sam23')
    x = conv(torch.cat([shallow(img, 3), gated], 1), 'concat23')
    return [torch.cat(image1, -2), image2, conv(orsnet(x, enc2, dec2), 'tail') + img]


@pytest.mark.parametrize('patches', [True, False])
def test_numerics_of_the_official_forward(patches):
    torch.manual_seed(0)
    config = dict(SMALL, num_cab=2, split_patches=patches)
    network = build_model(config).double().eval()
    img = torch.rand(2, 3, 24, 32, dtype=torch.float64)
    with torch.no_grad():
        outputs = network(img)
        want = _reference(network.state_dict(), img, 2, patches)
        for got, expected in zip(outputs, want):
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
        stage1 = build_model(dict(STAGE1, split_patches=patches)).double().eval()
        state = network.state_dict()
        stage1.load_state_dict({key: state[key] for key in stage1.state_dict()})
        torch.testing.assert_close(stage1(img)[0], want[0], rtol=0, atol=1e-12)


def test_patches_matter_and_any_size_takes_both_ways():
    torch.manual_seed(0)
    cut, whole = build_model(STAGE1), build_model(dict(STAGE1, split_patches=False))
    whole.load_state_dict(cut.state_dict())
    img = torch.rand(1, 3, 20, 30)
    with torch.no_grad():
        assert cut(img)[0].shape == whole(img)[0].shape == img.shape
        assert (cut(img)[0] - whole(img)[0]).abs().max() > 1e-4


def test_the_prior_of_stage_1_is_that_of_the_whole_image():
    """Modulating at a seam equals cutting the whole image's modulation for each half."""
    torch.manual_seed(0)
    network = build_model(STAGE1).double()
    img, factor = torch.rand(2, 1, 3, 16, 32, dtype=torch.float64).unbind()
    factor = factor[:, :1]
    seen = []

    def fuse(seam, dec):
        if seam != 'stage1.dec1':
            return dec
        seen.append(dec)
        return dec * factor

    def modulate(module, inputs):  # both halves, one after the other in the batch
        return (inputs[0] * torch.cat(factor.chunk(2, -2)),)

    with torch.no_grad():
        got = network(img, fuse)[0]
        handle = network.stage1_decoder.decoder_level1.register_forward_pre_hook(modulate)
        torch.testing.assert_close(network(img)[0], got, rtol=0, atol=1e-12)
        handle.remove()
    assert [dec.shape for dec in seen] == [(1, 8, 16, 32)]


def test_every_u_net_takes_all_levels_of_the_prior():
    levels = {f'{stage}.dec{i}': i - 1 for stage in ('stage1', 'stage2') for i in (3, 2, 1)}
    assert guide(SMALL).embedding.levels == levels


def test_number_of_stages():
    with pytest.raises(UserError, match='num_stages=2 is unknown; use 3, or 1'):
        build_model(dict(type='mmspd.MPRNet', num_stages=2))
