"""Equation 3, the extractors, and their error messages."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from prior_features import CHANNELS, SIZES, prior, resize
from unit_gain import unit_gain

from mmspd.registry import MODELS

RESNET = dict(type='mmpretrain.ResNet', depth=18, out_indices=(0, 1, 2))
TEACHERS = Path(__file__).resolve().parents[3] / 'configs' / '_base_' / 'teachers'


@pytest.mark.parametrize('gate', [None, 'sigmoid'])
def test_eq3_cross_level_connection(gate):
    m = prior()
    clc = unit_gain(MODELS.build(dict(type='mmspd.CLC', channels=CHANNELS, gate=gate)).double())
    got = clc(m)
    assert len(got) == 3
    for i in (0, 1):
        # The arrow: enlarge m^{i+1} (not f_pri^{i+1}), then convolve it to the channels of m^i.
        up = F.conv2d(resize(m[i + 1], SIZES[i]), clc.ups[i].weight, clc.ups[i].bias)
        conv = clc.attentions[i]
        att = F.conv2d(torch.cat([m[i], up], 1), conv.weight, conv.bias, padding=1)
        if gate == 'sigmoid':
            att = 1 / (1 + torch.exp(-att))
        torch.testing.assert_close(got[i], att * m[i] + att * up, rtol=0, atol=1e-12)
    assert got[2] is m[2]


@pytest.mark.parametrize('strides', [(2, 4, 8), (4, 8, 16), (1, 2, 4)])
def test_conv_extractor_levels(strides):
    extractor = MODELS.build(
        dict(type='mmspd.ConvExtractor', width=8, strides=strides, num_blocks=(1, 2, 1))
    )
    assert extractor.channels == (8, 8, 8)
    assert extractor.strides == strides
    features = extractor(torch.rand(2, 3, 32, 48))
    assert [f.shape for f in features] == [(2, 8, 32 // s, 48 // s) for s in strides]


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(strides=(2, 4), num_blocks=(1, 1, 1)), 'has 2 strides but 3 num_blocks'),
        (dict(strides=(2, 3, 8)), 'make each stride a multiple of the previous stride'),
    ],
)
def test_conv_extractor_refuses(kwargs, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type='mmspd.ConvExtractor', **kwargs))


def test_spl_without_clc_returns_the_features_themselves():
    torch.manual_seed(0)
    spl = MODELS.build(
        dict(
            type='mmspd.SPL',
            extractor=dict(type='mmspd.ConvExtractor', width=8, num_blocks=(1, 1, 1)),
            clc=None,
        )
    )
    img = torch.rand(1, 3, 16, 16)
    for a, b in zip(spl(img), spl.extractor(img)):
        assert torch.equal(a, b)
    assert spl.multiple == 8


def backbone_extractor(backbone=RESNET, weights='random', **kwargs):
    cfg = dict(type='mmspd.BackboneExtractor', backbone=backbone, weights=weights, **kwargs)
    return MODELS.build(cfg)


@pytest.mark.parametrize(('scale', 'strides'), [(2, (2, 4, 8)), (1, (4, 8, 16))])
def test_backbone_extractor(scale, strides):
    extractor = backbone_extractor(width=8, scale=scale)
    assert extractor.strides == strides
    assert extractor.channels == (8, 8, 8)
    got = extractor(torch.rand(2, 3, 32, 48))
    assert [f.shape for f in got] == [(2, 8, 32 // s, 48 // s) for s in strides]


@pytest.mark.slow
def test_backbone_extractor_starts_from_the_teachers_weights(tmp_path):
    """init_weights loads them after MMEngine initialized the backbone."""
    torch.manual_seed(0)
    want = MODELS.build(RESNET).state_dict()
    torch.save({'state_dict': want}, tmp_path / 'teacher.pth')
    extractor = backbone_extractor(weights=str(tmp_path / 'teacher.pth'))
    extractor.init_weights()
    got = extractor.net.backbone.state_dict()
    assert got
    assert all(torch.equal(value, want[key]) for key, value in got.items())
    assert not [key for key in got if key.startswith('layer4')]  # no level uses it


def test_a_backbone_that_loads_weights_itself_is_refused():
    with pytest.raises(ValueError, match='must not load weights itself'):
        backbone_extractor(dict(RESNET, init_cfg=dict(type='Pretrained')))


def moving_parts(extractor):
    """Train one step and return the names of the parameters and of the buffers that changed."""
    before = {name: value.clone() for name, value in extractor.net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in extractor.parameters() if p.requires_grad], lr=0.1)
    sum(feature.square().mean() for feature in extractor(torch.rand(2, 3, 32, 32))).backward()
    optimizer.step()
    after = extractor.net.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    statistics = {name for name in changed if 'running' in name or 'num_batches' in name}
    return changed - statistics, statistics


@pytest.mark.slow
def test_norm_eval_and_frozen(tmp_path):
    small = dict(RESNET, base_channels=4, stem_channels=4)
    torch.save({'state_dict': MODELS.build(small).state_dict()}, tmp_path / 'teacher.pth')

    def extractor(**options):
        built = backbone_extractor(small, str(tmp_path / 'teacher.pth'), width=4, **options)
        return built.eval().train()  # a validation between two epochs

    weights, statistics = moving_parts(extractor())
    assert weights
    assert statistics
    kept_weights, kept_statistics = moving_parts(extractor(norm_eval=True))
    assert (kept_weights, kept_statistics) == (weights, set())
    frozen = extractor(frozen=True)
    before = frozen.reduce[0].weight.clone()
    assert moving_parts(frozen) == (set(), set())
    assert not torch.equal(frozen.reduce[0].weight, before)  # the 1x1 convolutions learn
    with pytest.raises(ValueError, match="frozen=True and weights='random'; set weights to"):
        backbone_extractor(frozen=True)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['tresnet_l', 'efficientnet_lite0', 'resnet50', 'mmseg_r50'])
def test_every_trained_parameter_of_a_backbone_extractor_gets_a_gradient(name):
    """Distributed training fails if a trained parameter has no gradient."""
    backbone = Config.fromfile(TEACHERS / f'{name}.py').teacher.backbone
    extractor = backbone_extractor(backbone, width=4, scale=2)
    assert extractor.strides == (2, 4, 8)
    sum(feature.sum() for feature in extractor(torch.rand(2, 3, 32, 32))).backward()
    trained = [p for p in extractor.parameters() if p.requires_grad]
    assert trained
    assert all(p.grad is not None for p in trained)
    assert sum(p.numel() for p in trained) > 0.9 * sum(p.numel() for p in extractor.parameters())


def test_normalize_gives_the_guidance_a_fixed_scale():
    spl = MODELS.build(dict(type='mmspd.SPL', normalize=True))
    prior = [torch.rand(2, 5, 4, 6) * 40 - 3, torch.randn(2, 5, 2, 3)]
    for level, shown in zip(prior, spl.guidance(prior)):
        expected = torch.nn.functional.layer_norm(level.permute(0, 2, 3, 1), (5,))
        torch.testing.assert_close(shown, expected.permute(0, 3, 1, 2))
    assert MODELS.build(dict(type='mmspd.SPL')).guidance(prior) is prior
