"""MIMO-UNet against facts of the official code and an independent functional implementation."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from restorer_contract import OwnRestorerContract
from torch._subclasses.fake_tensor import FakeTensorMode

from mmspd.models.restorers.mimo_unet import _nearest
from mmspd.registry import build_model

BASELINE = dict(multi_input=False, aff=False, multi_output=False)
SWITCHES = [dict(zip(BASELINE, on)) for on in itertools.product((True, False), repeat=3)]


class TestMIMOUNet(OwnRestorerContract):
    restorer = dict(type='mmspd.MIMOUNet', base=8, num_res=1)
    num_outputs = 3
    official_sizes = [
        ({}, 6_807_171, 63.7328, 244),
        (dict(num_res=20, dropout=0.1), 16_107_651, 150.7059, 532),
        (BASELINE, 6_468_707, 60.0415, 208),
        (dict(BASELINE, num_res=20, dropout=0.1), 15_769_187, 147.0145, 496),
        # from the baseline to MIMO-UNet
        (dict(BASELINE, aff=True), 6_468_707 + 67_776, 61.9541, 216),
        (dict(multi_output=False), 6_468_707 + 67_776 + 265_498, 63.6904, 240),
    ]
    variants = tuple(dict(switches, num_res=2) for switches in SWITCHES)

    def reference(self, weights, img, cfg):
        has_input, has_aff, has_output = (cfg.get(switch, True) for switch in BASELINE)

        def conv(x, name, stride=1):
            return weights.conv(x, f'{name}.main.0', stride)

        def block(x, name):
            for r in range(cfg['num_res']):
                y = conv(x, f'{name}.layers.{r}.main.0').relu()
                x = x + conv(y, f'{name}.layers.{r}.main.1')
            return x

        def scm(x, name):
            y = x
            for i in range(4):
                y = conv(y, f'{name}.main.{i}').relu()
            return conv(torch.cat([x, y], 1), f'{name}.conv')

        def fam(x, y, name):
            return x + conv(x * scm(y, f'SCM{name}'), f'FAM{name}.merge') if has_input else x

        def aff(features, name):
            if not has_aff:
                return features[int(name[-1])]
            return conv(conv(torch.cat(features, 1), f'{name}.conv.0').relu(), f'{name}.conv.1')

        def decode(x, skip, level):
            x = weights.deconv(x, f'feat_extract.{level + 2}.main.0').relu()
            x = conv(torch.cat([x, skip], 1), f'Convs.{level - 1}').relu()
            return block(x, f'Decoder.{level}')

        def down(x, k):
            return x[..., ::k, ::k]

        def up(x, k):
            return x.repeat_interleave(k, -1).repeat_interleave(k, -2)

        half, quarter = down(img, 2), down(img, 4)
        e1 = block(conv(img, 'feat_extract.0').relu(), 'Encoder.0')
        e2 = fam(conv(e1, 'feat_extract.1', 2).relu(), half, 2)
        e2 = block(e2, 'Encoder.1')
        e3 = fam(conv(e2, 'feat_extract.2', 2).relu(), quarter, 1)
        e3 = block(e3, 'Encoder.2')
        d3 = block(e3, 'Decoder.0')
        d2 = decode(d3, aff([down(e1, 2), e2, up(e3, 2)], 'AFFs.1'), 1)
        d1 = decode(d2, aff([e1, up(e2, 2), up(e3, 4)], 'AFFs.0'), 2)
        outs = [conv(d1, 'feat_extract.5') + img]
        if has_output:
            outs = [conv(d3, 'ConvsOut.0') + quarter, conv(d2, 'ConvsOut.1') + half, *outs]
        return outs


@pytest.mark.slow
class TestMIMOUNetBaseline(TestMIMOUNet):
    restorer = dict(TestMIMOUNet.restorer, **BASELINE)
    num_outputs = 1
    official_sizes = []
    variants = ({},)
    compiled_sizes = ()  # its graph is a part of the graph of MIMO-UNet


def test_dropout_drops_whole_channels_in_training_only():
    torch.manual_seed(0)
    network = build_model(dict(type='mmspd.MIMOUNet', base=8, num_res=1, dropout=0.5))
    img = torch.rand(1, 3, 16, 16)
    assert not torch.equal(network(img)[-1], network(img)[-1])
    network.eval()
    assert torch.equal(network(img)[-1], network(img)[-1])


def test_resizing_keeps_the_type_under_autocast_on_cuda():
    """Autocast on CUDA enlarges in float32; fake tensors show it without such a device."""
    with FakeTensorMode():
        feature = torch.empty(1, 4, 8, 8, device='cuda', dtype=torch.bfloat16)
        torch.set_autocast_enabled(True)
        try:
            assert F.interpolate(feature, scale_factor=2.0).dtype == torch.float32
            assert [_nearest(feature, scale).dtype for scale in (0.5, 2)] == 2 * [torch.bfloat16]
            assert torch.is_autocast_enabled()
        finally:
            torch.set_autocast_enabled(False)
