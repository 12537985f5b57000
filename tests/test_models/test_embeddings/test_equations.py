"""Equations 5 and 6 against short float64 computations written from the paper."""

import pytest
import torch
import torch.nn.functional as F
from prior_features import CHANNELS, SIZES, prior, resize
from torch.utils._python_dispatch import TorchDispatchMode
from unit_gain import unit_gain

from mmspd.models.embeddings.spe import SeamSpec
from mmspd.registry import MODELS, build_model


@pytest.mark.parametrize('level', [0, 1, 2])
@pytest.mark.parametrize('gate', [None, 'sigmoid'])
def test_eq5_multi_level_aggregation(level, gate):
    f_pri = prior()
    mla = MODELS.build(dict(type='mmspd.MLA', channels=CHANNELS, level=level, gate=gate))
    mla = unit_gain(mla.double())
    own = f_pri[level]
    others = [resize(f, SIZES[level]) for t, f in enumerate(f_pri) if t != level]
    attention = F.conv2d(torch.cat([own, *others], 1), mla.conv.weight, mla.conv.bias, padding=1)
    if gate == 'sigmoid':
        attention = 1 / (1 + torch.exp(-attention))
    torch.testing.assert_close(mla(f_pri), attention * own + own, rtol=0, atol=1e-12)


def test_eq6_semantic_attention_transformation():
    m_pri = prior()[1]
    sat = MODELS.build(dict(type='mmspd.SAT', prior_channels=5, channels=3, scale=2))
    sat = unit_gain(sat.double())
    f_de, f_en = torch.randn(2, 2, 3, 16, 24, dtype=torch.float64)

    def block(sequence):
        hidden = F.conv2d(m_pri, sequence[0].weight, sequence[0].bias, padding=1)
        hidden = torch.where(hidden > 0, hidden, hidden / 10)
        return resize(F.conv2d(hidden, sequence[2].weight, sequence[2].bias, padding=1), (16, 24))

    mu, sigma = 1 + block(sat.delta), block(sat.sigma)
    f_sa = sat(m_pri, f_de + f_en)
    torch.testing.assert_close(f_sa, mu * (f_de + f_en) + sigma, rtol=0, atol=1e-12)


@pytest.mark.parametrize('fusion', ['SAT', 'AddFusion', 'ConcatFusion'])
def test_planes_of_an_image_get_the_prior_of_their_image(fusion):
    """Features 0, 1 and 2 belong to image 0, features 3, 4 and 5 to image 1."""
    f_pri = prior()
    seams = dict(dec1=SeamSpec(channels=3, stride=1, level=0))
    cfg = dict(type='mmspd.SPE', fusion=dict(type=f'mmspd.{fusion}'))
    spe = build_model(cfg, seams=seams, prior_channels=CHANNELS, prior_strides=(2, 4, 8))
    spe = unit_gain(spe.double())
    height, width = (2 * side for side in SIZES[0])
    planes = torch.randn(6, 3, height, width, dtype=torch.float64)
    got = spe(f_pri)('dec1', planes)
    for number, plane in enumerate(planes):
        image = number // 3
        want = spe([f[image : image + 1] for f in f_pri])('dec1', plane[None])[0]
        torch.testing.assert_close(got[number], want, rtol=0, atol=1e-12)


def test_add_and_concat_fusion():
    """Net1 and Net2 of Table 4: f + P(M) and conv(cat(f, M))."""
    m_pri, f = prior()[1], torch.randn(2, 3, 16, 24, dtype=torch.float64)
    args = dict(prior_channels=5, channels=3, scale=2)
    add = unit_gain(MODELS.build(dict(type='mmspd.AddFusion', **args)).double())
    want = f + resize(F.conv2d(m_pri, add.project.weight, add.project.bias), (16, 24))
    torch.testing.assert_close(add(m_pri, f), want, rtol=0, atol=1e-12)
    concat = unit_gain(MODELS.build(dict(type='mmspd.ConcatFusion', **args)).double())
    both = torch.cat([f, resize(m_pri, (16, 24))], 1)
    want = F.conv2d(both, concat.conv.weight, concat.conv.bias)
    torch.testing.assert_close(concat(m_pri, f), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('size', [(35, 45), (40, 48), (33, 31)])
@pytest.mark.parametrize('fusion', ['SAT', 'AddFusion', 'ConcatFusion'])
def test_fusions_start_as_the_identity(fusion, size, dtype):
    """The fusions never enlarge a constant 1, because the result is not exactly 1 at many sizes."""
    layer = MODELS.build(dict(type=f'mmspd.{fusion}', prior_channels=4, channels=3, scale=2))
    dec = torch.randn(1, 3, *size).to(dtype)
    m_pri = torch.randn(1, 4, 20, 24).to(dtype)
    rounding = 1e-6 if fusion == 'ConcatFusion' else 0
    torch.testing.assert_close(layer.to(dtype)(m_pri, dec), dec, rtol=0, atol=rounding)


def test_prior_and_decoder_grids_share_their_origin():
    """The prior of an image with more padding is cropped, not resized, to the decoder's grid."""
    add = MODELS.build(dict(type='mmspd.AddFusion', prior_channels=1, channels=1, scale=4)).double()
    torch.nn.init.ones_(add.project.weight)
    columns = torch.arange(10, dtype=torch.float64).view(1, 1, 1, 10).expand(1, 1, 10, 10)
    got = add(columns, torch.zeros(1, 1, 36, 36, dtype=torch.float64))[0, 0, 18]
    # The center of decoder column i lies at (i + 0.5) / 4 - 0.5 on the prior's grid.
    want = (torch.arange(36, dtype=torch.float64) + 0.5) / 4 - 0.5
    torch.testing.assert_close(got[2:], want[2:], rtol=0, atol=1e-12)


class FullSizePasses(TorchDispatchMode):
    """Records the operations that write a tensor of a given size; views do not write."""

    def __init__(self, numel):
        super().__init__()
        self.numel = numel
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name not in ('alias', 'slice') and out.numel() == self.numel:
            self.names.append(name)
        return out


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_a_seam_costs_two_enlargements_and_two_passes(dtype):
    """At full resolution, memory traffic dominates the cost of a seam."""
    sat = MODELS.build(dict(type='mmspd.SAT', prior_channels=4, channels=3, scale=2)).to(dtype)
    m_pri, dec = torch.randn(1, 4, 8, 8).to(dtype), torch.randn(1, 3, 16, 16).to(dtype)
    with FullSizePasses(dec.numel()) as passes:
        sat(m_pri, dec)
    assert sorted(passes.names) == ['add_', 'addcmul_', *['upsample_bilinear2d'] * 2]


def test_sat_does_not_round_one_plus_delta():
    """Near 1, bfloat16 has steps of 2^-7, so 1 + delta would lose a small delta."""
    sat = MODELS.build(dict(type='mmspd.SAT', prior_channels=1, channels=1, scale=1)).bfloat16()
    torch.nn.init.constant_(sat.delta[2].bias, 2**-9)
    torch.nn.init.constant_(sat.sigma[2].bias, -1.0)
    got = sat(torch.zeros(1, 1, 2, 2).bfloat16(), torch.ones(1, 1, 2, 2).bfloat16())
    assert torch.equal(got, torch.full_like(got, 2**-9))


def test_spe_without_mla_takes_the_prior_itself():
    seams = dict(dec2=(3, 2, 1), dec1=(2, 1, 0))
    spe = build_model(
        dict(type='mmspd.SPE', mla=None),
        seams={name: SeamSpec(*spec) for name, spec in seams.items()},
        prior_channels=CHANNELS,
        prior_strides=(2, 4, 8),
    )
    f_pri = prior()
    assert {level: m is f_pri[level] for level, m in spe.aggregate(f_pri).items()} == {
        0: True,
        1: True,
    }
    assert spe.fusions['dec2'].scale == 2
    dec = torch.randn(2, 7, 3, 3)
    assert spe.double()(f_pri)('a seam of another embedding', dec) is dec


def test_unknown_gate_is_refused():
    with pytest.raises(ValueError, match=r"gate='tanh' is unknown; use None or 'sigmoid'"):
        MODELS.build(dict(type='mmspd.MLA', channels=CHANNELS, level=0, gate='tanh'))


def test_sat_keeps_a_gradient_when_its_hidden_units_are_negative():
    fusion = MODELS.build(dict(type='mmspd.SAT', prior_channels=4, channels=3, scale=1))
    with torch.no_grad():
        for block in (fusion.delta, fusion.sigma):
            block[0].bias.fill_(-100)  # as a growing prior does
            block[-1].weight.normal_()
    prior = torch.randn(1, 4, 6, 6, requires_grad=True)
    fusion(prior, torch.ones(1, 3, 6, 6)).sum().backward()
    assert prior.grad.abs().min() > 0
