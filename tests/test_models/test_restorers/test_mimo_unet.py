"""MIMO-UNet against the facts of its official code and a plain functional re-computation."""

import pytest
import torch
import torch.nn.functional as F
from restorer_contract import OwnRestorerContract, count_parameters

from mmspd.registry import build_model


def _keys(num_res):
    keys = {f'feat_extract.{i}.main.0' for i in range(6)}
    for part in ('Encoder', 'Decoder'):
        keys |= {
            f'{part}.{level}.layers.{r}.main.{i}.main.0'
            for level in range(3)
            for r in range(num_res)
            for i in range(2)
        }
    keys |= {f'{name}.{i}.main.0' for name in ('Convs', 'ConvsOut') for i in range(2)}
    keys |= {f'AFFs.{i}.conv.{j}.main.0' for i in range(2) for j in range(2)}
    keys |= {'FAM1.merge.main.0', 'FAM2.merge.main.0', 'SCM1.conv.main.0', 'SCM2.conv.main.0'}
    keys |= {f'SCM{s}.main.{i}.main.0' for s in (1, 2) for i in range(4)}
    return {f'{key}.{kind}' for key in keys for kind in ('weight', 'bias')}


class TestMIMOUNet(OwnRestorerContract):
    restorer = dict(type='mmspd.MIMOUNet', base=8, num_res=1)
    num_outputs = 3
    official_keys = _keys(1)


@pytest.mark.parametrize(
    ('kwargs', 'parameters', 'tensors'),
    [({}, 6_807_171, 244), ({'num_res': 20, 'dropout': 0.1}, 16_107_651, 532)],
)
def test_official_sizes(kwargs, parameters, tensors):
    network = build_model(dict(type='mmspd.MIMOUNet', **kwargs))
    assert count_parameters(network) == parameters
    assert len(network.state_dict()) == tensors


def _reference(state, img, num_res):
    """The official forward, written from its description with nothing but functional calls."""

    def conv(x, name, stride=1):
        weight = state[f'{name}.main.0.weight']
        return F.conv2d(x, weight, state[f'{name}.main.0.bias'], stride, weight.shape[-1] // 2)

    def deconv(x, name):
        weight = state[f'{name}.main.0.weight']
        return F.conv_transpose2d(x, weight, state[f'{name}.main.0.bias'], 2, 1).relu()

    def block(x, name):
        for r in range(num_res):
            y = conv(x, f'{name}.layers.{r}.main.0').relu()
            x = x + conv(y, f'{name}.layers.{r}.main.1')
        return x

    def scm(x, name):
        y = x
        for i in range(4):
            y = conv(y, f'{name}.main.{i}').relu()
        return conv(torch.cat([x, y], 1), f'{name}.conv')

    def fam(x, y, name):
        return x + conv(x * y, f'{name}.merge')

    def aff(features, name):
        return conv(conv(torch.cat(features, 1), f'{name}.conv.0').relu(), f'{name}.conv.1')

    def down(x, k):
        return x[..., ::k, ::k]

    def up(x, k):
        return x.repeat_interleave(k, -1).repeat_interleave(k, -2)

    half, quarter = down(img, 2), down(img, 4)
    e1 = block(conv(img, 'feat_extract.0').relu(), 'Encoder.0')
    e2 = fam(conv(e1, 'feat_extract.1', 2).relu(), scm(half, 'SCM2'), 'FAM2')
    e2 = block(e2, 'Encoder.1')
    e3 = fam(conv(e2, 'feat_extract.2', 2).relu(), scm(quarter, 'SCM1'), 'FAM1')
    e3 = block(e3, 'Encoder.2')
    skip2 = aff([down(e1, 2), e2, up(e3, 2)], 'AFFs.1')
    skip1 = aff([e1, up(e2, 2), up(e3, 4)], 'AFFs.0')
    z = block(e3, 'Decoder.0')
    out4 = conv(z, 'ConvsOut.0') + quarter
    z = conv(torch.cat([deconv(z, 'feat_extract.3'), skip2], 1), 'Convs.0').relu()
    z = block(z, 'Decoder.1')
    out2 = conv(z, 'ConvsOut.1') + half
    z = conv(torch.cat([deconv(z, 'feat_extract.4'), skip1], 1), 'Convs.1').relu()
    z = block(z, 'Decoder.2')
    return [out4, out2, conv(z, 'feat_extract.5') + img]


def test_numerics_of_the_official_forward():
    torch.manual_seed(0)
    network = build_model(dict(type='mmspd.MIMOUNet', base=8, num_res=2)).double().eval()
    img = torch.rand(2, 3, 24, 32, dtype=torch.float64)
    with torch.no_grad():
        want = _reference(network.state_dict(), img, num_res=2)
        for got, expected in zip(network(img), want):
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def test_dropout_drops_whole_channels_in_training_only():
    torch.manual_seed(0)
    network = build_model(dict(type='mmspd.MIMOUNet', base=8, num_res=1, dropout=0.5))
    img = torch.rand(1, 3, 16, 16)
    assert not torch.equal(network(img)[-1], network(img)[-1])
    network.eval()
    assert torch.equal(network(img)[-1], network(img)[-1])
