"""DMPHN against facts of the official code and an independent functional implementation."""

import pytest
import torch
from restorer_contract import OwnRestorerContract

from mmspd.registry import build_model

# 24 convolutions of 9 C^2 per pixel, two of stride 2 (4.5 each), two transposed (8 each).
MACS_PER_PIXEL = (24 * 9 + 2 * 4.5 + 2 * 8) * 32**2 + 2 * 27 * 32


class TestDMPHN(OwnRestorerContract):
    restorer = dict(type='mmspd.DMPHN', base=8)
    # Three encoders and decoders; each level processes every pixel of the image.
    official_sizes = [({}, 3 * (868_288 + 939_843), 3 * MACS_PER_PIXEL * 256**2 / 1e9, 6 * 30)]

    def reference(self, weights, img, cfg):
        """The official forward pass, patch by patch."""

        def blocks(x, name, *layers):
            for layer in layers:
                y = weights.conv(x, f'{name}{layer}.0').relu()
                x = x + weights.conv(y, f'{name}{layer}.2')
            return x

        def encode(x, level):
            name = f'encoder_lv{level}.layer'
            x = blocks(weights.conv(x, f'{name}1'), name, 2, 3)
            x = blocks(weights.conv(x, f'{name}5', 2), name, 6, 7)
            return blocks(weights.conv(x, f'{name}9', 2), name, 10, 11)

        def decode(x, level):
            name = f'decoder_lv{level}.layer'
            x = weights.deconv(blocks(x, name, 13, 14), f'{name}16')
            x = weights.deconv(blocks(x, name, 17, 18), f'{name}20')
            return weights.conv(blocks(x, name, 21, 22), f'{name}24')

        img = img - 0.5
        rows, columns = (side // 2 for side in img.shape[-2:])
        features3, features2 = [], []
        for half in img.split(rows, -2):
            features3.append(torch.cat([encode(x, 3) for x in half.split(columns, -1)], -1))
            features2.append(encode(half + decode(features3[-1], 3), 2))
        feature2 = torch.cat(features2, -2) + torch.cat(features3, -2)
        feature1 = encode(img + decode(feature2, 2), 1) + feature2
        return [decode(feature1, 1) + 0.5]


def test_the_initial_weights_are_the_official_ones():
    torch.manual_seed(0)
    network = build_model(dict(type='mmspd.DMPHN'))
    layers = {n: m for n, m in network.named_modules() if getattr(m, 'weight', None) is not None}
    assert len(layers) == 6 * 15
    for layer in layers.values():
        # of the official widths: 3x3 convolutions, and 4x4 transposed convolutions
        deviation = 0.5 * (2 / (layer.kernel_size[0] ** 2 * layer.out_channels)) ** 0.5
        count = layer.weight.numel()
        assert layer.weight.std().item() == pytest.approx(deviation, rel=4 / (2 * count) ** 0.5)
        assert abs(layer.weight.mean().item()) < 4 * deviation / count**0.5
        assert (layer.weight.abs() > 2 * deviation).any()  # the default is uniform
        assert not layer.bias.any()


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
