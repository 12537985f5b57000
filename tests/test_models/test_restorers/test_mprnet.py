"""MPRNet against facts of the official code and an independent functional implementation."""

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from restorer_contract import OwnRestorerContract, guide

from mmspd.errors import UserError
from mmspd.registry import build_model

SMALL = dict(type='mmspd.MPRNet', base=8, growth=4, orsnet_growth=4, num_cab=1, reduction=1)
STAGE1 = dict(SMALL, num_stages=1)
BASELINE = dict(sam=False, csff=False)


@pytest.mark.slow
class TestMPRNet(OwnRestorerContract):
    restorer = SMALL
    num_outputs = 3
    official_sizes = [
        ({}, 20_127_073, 759.4111, 316),
        (BASELINE, 19_790_113, 746.6143, 294),
        (dict(csff=False), 19_809_121, 747.8600, 298),
        (dict(sam=False), 20_108_065, 758.1654, 312),
    ]
    variants = (
        dict(num_cab=2),
        dict(num_cab=2, split_patches=False),
        dict(num_cab=2, csff=False),
        dict(num_cab=2, sam=False),
        dict(num_cab=2, **BASELINE),
    )
    mutated_size = (8, 16)

    def reference(self, weights, img, cfg):
        """The official forward pass, patch by patch."""
        conv = weights.conv

        def double(x, name):
            return conv(weights.double(x), f'{name}.up.1')

        def sam(x, picture, name):
            restored = conv(x, f'{name}.conv2') + picture
            if not cfg.get('sam', True):
                return x, restored
            gate = torch.sigmoid(conv(restored, f'{name}.conv3'))
            return conv(x, f'{name}.conv1') * gate + x, restored

        def levels(parts, dim):
            return [torch.cat(part, dim) for part in zip(*parts)]

        def orb(x, name):
            y = x
            for i in range(cfg['num_cab']):
                y = weights.stage_block(y, f'{name}.body.{i}')
            return x + conv(y, f'{name}.body.{cfg["num_cab"]}')

        def orsnet(x, enc, dec):
            x = orb(x, 'stage3_orsnet.orb1')
            for level in (1, 2, 3):
                for part, features in (('enc', enc), ('dec', dec)) if csff else ():
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

        patches, csff = cfg.get('split_patches', True), cfg.get('csff', True)
        rows, columns = (side // 2 if patches else side for side in img.shape[-2:])
        strips = img.split(rows, -2)
        enc1, dec1 = [], []
        for strip in strips:
            quadrants = [weights.shallow(patch, 1) for patch in strip.split(columns, -1)]
            enc = [weights.encode(patch, 'stage1_encoder') for patch in quadrants]
            enc1.append(levels(enc, -1))
            dec1.append(weights.decode(enc1[-1], 'stage1_decoder'))
        if cfg.get('num_stages') == 1:
            images = [conv(dec[0], 'sam12.conv2') + strip for dec, strip in zip(dec1, strips)]
            return [torch.cat(images, -2)]

        enc2, image1 = [], []
        for enc, dec, strip in zip(enc1, dec1, strips):
            gated, restored = sam(dec[0], strip, 'sam12')
            image1.append(restored)
            x = conv(torch.cat([weights.shallow(strip, 2), gated], 1), 'concat12')
            enc2.append(weights.encode(x, 'stage2_encoder', (enc, dec) if csff else None))
        enc2 = levels(enc2, -2)
        dec2 = weights.decode(enc2, 'stage2_decoder')
        gated, image2 = sam(dec2[0], img, 'sam23')
        x = conv(torch.cat([weights.shallow(img, 3), gated], 1), 'concat23')
        return [torch.cat(image1, -2), image2, conv(orsnet(x, enc2, dec2), 'tail') + img]


class TestMPRNetStage1(TestMPRNet):
    restorer = STAGE1
    num_outputs = 1
    # SAM is replaced by its 1x1 image head
    official_sizes = [(dict(num_stages=1), 5_754_817, 108.5658, 81)]
    variants = ({}, dict(split_patches=False))
    compiled_sizes = ()  # its graph is a part of the graph of MPRNet


def test_ema_updates_the_shared_prelu_once():
    network = build_model(SMALL)
    average = ExponentialMovingAverage(network, momentum=0.5)
    average.update_parameters(network)
    slope = network.shallow_feat1[1].body[1].weight
    with torch.no_grad():
        slope.fill_(1.25)
    average.update_parameters(network)
    assert average.module.shallow_feat1[1].body[1].weight.item() == 0.75  # from 0.25


def test_patches_change_the_output_and_any_size_is_accepted():
    torch.manual_seed(0)
    cut, whole = build_model(STAGE1), build_model(dict(STAGE1, split_patches=False))
    whole.load_state_dict(cut.state_dict())
    img = torch.rand(1, 3, 20, 30)
    with torch.no_grad():
        assert cut(img)[0].shape == whole(img)[0].shape == img.shape
        assert (cut(img)[0] - whole(img)[0]).abs().max() > 1e-4


def test_stage_1_gets_the_prior_of_the_whole_image():
    """Modulating at a seam equals modulating each half with its half of the factor."""
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

    def modulate(module, inputs):  # the batch holds both halves
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
    with pytest.raises(UserError, match='num_stages=2; use 3, or 1'):
        build_model(dict(type='mmspd.MPRNet', num_stages=2))


@pytest.mark.parametrize('switches', [BASELINE, dict(sam=False), dict(csff=False)])
def test_one_stage_has_no_modules_between_stages(switches):
    sam, csff = (switches.get(name, True) for name in BASELINE)
    with pytest.raises(UserError, match=f'num_stages=1, sam={sam} and csff={csff}; leave out sam'):
        build_model(dict(STAGE1, **switches))
