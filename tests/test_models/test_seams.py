"""Seams: HookSeams equals a restorer with explicit seams, and wrong seams are refused by name."""

import copy

import pytest
import torch
from torch import nn

from mmspd.models.seams import HookSeams, Seam, no_fuse, probe_seams, takes_fuse
from mmspd.registry import MODELS, build_model


class Host(nn.Module):
    """A foreign restorer with an additive skip, a module that runs twice and an unused module."""

    def __init__(self, fuse_arg=False):
        super().__init__()
        self.enc = nn.Conv2d(3, 4, 3, padding=1)
        self.down = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.twice = nn.Conv2d(8, 8, 1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.dec = nn.Conv2d(4, 3, 3, padding=1)
        self.never = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        enc = self.enc(x)
        deep = self.twice(self.twice(self.down(enc)))
        return self.dec(self.up(deep) + enc) + x


class Explicit(Host):
    """The same restorer, written with a seam."""

    def forward(self, x, fuse=no_fuse):
        enc = self.enc(x)
        deep = self.twice(self.twice(self.down(enc)))
        return self.dec(fuse('dec', self.up(deep) + enc)) + x


@pytest.fixture
def host():
    torch.manual_seed(0)
    return Host()


@pytest.fixture
def img():
    return torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def scale_by(factor):
    return lambda seam, dec: dec * factor


def test_hook_equals_explicit_seam(host, img):
    explicit = Explicit()
    explicit.load_state_dict(host.state_dict())
    hooked = HookSeams(host, ['dec'])
    for fuse in (no_fuse, scale_by(0.3)):
        assert torch.equal(hooked(img, fuse), explicit(img, fuse))
    assert takes_fuse(hooked)
    assert not takes_fuse(host)


def test_probe_reads_channels_strides_and_multiple(host):
    probe = probe_seams(HookSeams(host, ['dec', 'up']))
    assert probe.seams == {'up': Seam(8, 2), 'dec': Seam(4, 1)}
    own = probe_seams(build_model(dict(type='mmspd.MIMOUNet', base=8, num_res=1)), ['dec1', 'dec3'])
    assert own.seams == {'dec1': Seam(8, 1), 'dec3': Seam(32, 4)}
    assert own.multiple == 4


def test_probe_computes_nothing_and_changes_nothing(host):
    before = copy.deepcopy(host.state_dict())
    state = torch.get_rng_state()
    probe_seams(HookSeams(host, ['dec']))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[k], v) for k, v in host.state_dict().items())
    assert not any(p.is_meta for p in host.parameters())


def test_probe_does_not_change_a_shared_module():
    """Such as the shared PReLU of MPRNet, or the encoder of DeblurGANv2's feature pyramid."""
    host = Host()
    host.also = nn.Sequential(host.enc, host.down)
    HookSeams(host, ['dec'])
    assert not any(p.is_meta for p in host.parameters())


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (['deck'], "Module 'deck' does not exist in Host; use one of dec"),
        (['never'], "Seam 'never' of Host runs 0 times in one forward pass, but must run once"),
        (['dec', 'twice'], "Seam 'twice' of Host runs 2 times .*; use one of .*enc"),
    ],
)
def test_wrong_seams_are_refused_by_name(host, names, message):
    with pytest.raises(ValueError, match=message):
        HookSeams(host, names)


def test_a_seam_without_a_feature_map_is_refused():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.attend = nn.Linear(3, 3)

        def forward(self, x):
            tokens = self.attend(x.flatten(2).transpose(1, 2))
            return tokens.transpose(1, 2).reshape(x.shape)

    with pytest.raises(ValueError, match=r"'attend' is .*, not an \(N, C, H, W\) feature map"):
        HookSeams(Tokens(), ['attend'])


def test_keys_are_the_bare_restorers(host, img):
    bare = host.state_dict()
    fresh = HookSeams(Host(), ['dec'])
    fresh.load_state_dict(bare, strict=True)
    assert list(fresh.state_dict()) == list(bare)
    assert torch.equal(fresh(img), host(img))
    with pytest.raises(RuntimeError, match='Missing key'):
        fresh.load_state_dict({k: v for k, v in bare.items() if k != 'dec.bias'}, strict=True)
    with pytest.raises(RuntimeError, match='Unexpected key'):
        fresh.load_state_dict({**bare, 'extra.bias': bare['dec.bias']}, strict=True)


def test_keys_through_mmengine(host):
    """MMEngine walks through the modules itself and ignores an overridden state_dict()."""
    from mmengine.runner.checkpoint import get_state_dict, load_state_dict

    parent = nn.Module()
    parent.generator = HookSeams(host, ['dec'])
    state = get_state_dict(parent)
    assert set(state) == {f'generator.{k}' for k in Host().state_dict()}
    other = nn.Module()
    other.generator = HookSeams(Host(), ['dec'])
    load_state_dict(other, state, strict=True)
    assert torch.equal(other.generator.restorer.dec.weight, host.dec.weight)


def test_recomputing_the_inner_restorer_alone_is_refused(host, img):
    """The recomputation would run the seam without the prior."""
    from torch.utils.checkpoint import checkpoint

    hooked = HookSeams(host, ['dec'])
    forward = host.forward
    host.forward = lambda x: checkpoint(forward, x, use_reentrant=False)
    with pytest.raises(RuntimeError, match='apply activation checkpointing to HookSeams'):
        hooked(img, scale_by(2)).sum().backward()


def test_a_failed_forward_leaves_no_prior_behind(host, img):
    hooked = HookSeams(host, ['dec'])

    def fail(seam, dec):
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        hooked(img, fail)
    assert hooked._fuse is None
    assert torch.equal(hooked(img), hooked(img, no_fuse))


def test_registered():
    hooked = MODELS.build(
        dict(type='mmspd.HookSeams', restorer=dict(type='mmspd.UNet', base=4), seams=['ending'])
    )
    assert isinstance(hooked, HookSeams)


def test_a_hooked_restorer_is_initialized_like_a_plain_one():
    """MMEngine's init_weights must reach a restorer with its own init_weights."""
    calls = []

    class Initialized(Host):
        def init_weights(self):
            calls.append(self)

    host = Initialized()
    HookSeams(host, ['dec']).init_weights()
    assert calls == [host]


def test_no_seams_at_all_is_refused():
    with pytest.raises(ValueError, match='The list seams is empty; name at least one'):
        probe_seams(build_model(dict(type='mmspd.UNet', base=4, num_res=1)), [])
