"""DMPHN against the facts of its official code and a plain functional re-computation."""

import pytest
import torch
import torch.nn.functional as F
from restorer_contract import OwnRestorerContract, count_gmac, count_parameters

from mmspd.registry import build_model

PAIRS = {'encoder': (2, 3, 6, 7, 10, 11), 'decoder': (13, 14, 17, 18, 21, 22)}
SINGLES = {'encoder': (1, 5, 9), 'decoder': (16, 20, 24)}


def _file_keys(part):
    """Keys of one of the six official files."""
    layers = {f'layer{n}.{i}' for n in PAIRS[part] for i in (0, 2)}
    layers |= {f'layer{n}' for n in SINGLES[part]}
    return {f'{layer}.{kind}' for layer in layers for kind in ('weight', 'bias')}


def _keys():
    return {
        f'{part}_lv{level}.{key}'
        for part in ('encoder', 'decoder')
        for level in (1, 2, 3)
        for key in _file_keys(part)
    }


class TestDMPHN(OwnRestorerContract):
    restorer = dict(type='mmspd.DMPHN', base=8)
    official_keys = _keys()


def test_official_size():
    """5.42 M parameters; every level works on every pixel of the image."""
    with torch.device('meta'):
        network = build_model(dict(type='mmspd.DMPHN'))
    assert count_parameters(network.encoder_lv1) == 868_288
    assert count_parameters(network.decoder_lv1) == 939_843
    assert count_parameters(network) == 3 * (868_288 + 939_843)
    # 24 convolutions of 9 C^2 per pixel, two of stride 2 (4.5 each), two transposed (8 each)
    per_pixel = (24 * 9 + 2 * 4.5 + 2 * 8) * 32**2 + 2 * 27 * 32
    assert count_gmac(network) == pytest.approx(3 * per_pixel * 256**2 / 1e9, rel=1e-6)


def test_the_six_official_files_load_under_their_children():
    network = build_model(dict(type='mmspd.DMPHN', base=8))
    for part in ('encoder', 'decoder'):
        for level in (1, 2, 3):
            child = getattr(network, f'{part}_lv{level}')
            assert set(child.state_dict()) == _file_keys(part)


def _reference(state, img):
    """The official forward, patch by patch, with nothing but functional calls."""

    def conv(x, name, stride=1):
        return F.conv2d(x, state[f'{name}.weight'], state[f'{name}.bias'], stride, 1)

    def deconv(x, name):
        return F.conv_transpose2d(x, state[f'{name}.weight'], state[f'{name}.bias'], 2, 1)

    def blocks(x, *names):
        for name in names:
            x = x + conv(conv(x, f'{name}.0').relu(), f'{name}.2')
        return x

    def encode(x, level):
        name = f'encoder_lv{level}.layer'
        x = blocks(conv(x, f'{name}1'), f'{name}2', f'{name}3')
        x = blocks(conv(x, f'{name}5', 2), f'{name}6', f'{name}7')
        return blocks(conv(x, f'{name}9', 2), f'{name}10', f'{name}11')

    def decode(x, level):
        name = f'decoder_lv{level}.layer'
        x = deconv(blocks(x, f'{name}13', f'{name}14'), f'{name}16')
        x = deconv(blocks(x, f'{name}17', f'{name}18'), f'{name}20')
        return conv(blocks(x, f'{name}21', f'{name}22'), f'{name}24')

    img = img - 0.5
    rows, columns = (side // 2 for side in img.shape[-2:])
    top, bottom = img[:, :, :rows], img[:, :, rows:]
    features3, features2 = [], []
    for half in (top, bottom):
        left, right = half[..., :columns], half[..., columns:]
        features3.append(torch.cat([encode(left, 3), encode(right, 3)], -1))
        features2.append(encode(half + decode(features3[-1], 3), 2))
    feature2 = torch.cat(features2, -2) + torch.cat(features3, -2)
    feature1 = encode(img + decode(feature2, 2), 1) + feature2
    return decode(feature1, 1) + 0.5


def test_numerics_of_the_official_forward():
    torch.manual_seed(0)
    network = build_model(dict(type='mmspd.DMPHN', base=8)).double().eval()
    img = torch.rand(2, 3, 24, 32, dtype=torch.float64)
    with torch.no_grad():
        (got,) = network(img)
        want = _reference(network.state_dict(), img)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


def test_seams_are_the_inputs_of_the_last_decoders_scales():
    network = build_model(dict(type='mmspd.DMPHN', base=8)).eval()
    inputs, seams = {}, {}
    for layer in ('layer13', 'layer17', 'layer21'):
        module = getattr(network.decoder_lv1, layer)
        module.register_forward_pre_hook(lambda m, i, layer=layer: inputs.update({layer: i[0]}))

    def record(seam, dec):
        seams[seam] = dec
        return dec

    with torch.no_grad():
        network(torch.rand(1, 3, 16, 24), record)
    for layer, seam in (('layer13', 'dec3'), ('layer17', 'dec2'), ('layer21', 'dec1')):
        assert torch.equal(inputs[layer], seams[seam])
    assert [tuple(x.shape[1:]) for x in seams.values()] == [(32, 4, 6), (16, 8, 12), (8, 16, 24)]


def test_half_precision_keeps_the_range():
    """Under autocast the shift of 0.5 is added at the image's own precision."""
    network = build_model(dict(type='mmspd.DMPHN', base=8)).eval()
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        (out,) = network(torch.rand(1, 3, 16, 16))
    assert out.dtype == torch.float32
