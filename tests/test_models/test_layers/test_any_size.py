"""Networks that refuse sizes restore any size, and accepted sizes are not changed."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from restorer_contract import guide, image, randomize
from torch import nn

from mmspd.errors import UserError
from mmspd.models.guided import as_list
from mmspd.models.layers.any_size import SizeLimits, accept_any_size
from mmspd.models.layers.padding import crop_to, pad_to_multiple
from mmspd.models.tiling import restore_images
from mmspd.registry import build_model

SIZES = [(1, 1), (1, 9), (7, 5), (21, 28), (33, 47), (64, 96)]
LOSSES = dict(loss_pix=dict(type='mmagic.L1Loss'))


class Asserting(nn.Module):
    """Refuses sides that are not multiples of 4, like MMagic's RRDBNet."""

    limits = SizeLimits(4, 4)

    def __init__(self):
        super().__init__()
        self.dec = nn.Conv2d(48, 48, 3, padding=1)

    def forward(self, img):
        assert img.shape[-2] % 4 == img.shape[-1] % 4 == 0
        return F.pixel_shuffle(self.dec(F.pixel_unshuffle(img, 4)), 4)


class Windows(Asserting):
    """Refuses sides that are not multiples of 7."""

    limits = SizeLimits(7, 7)

    def forward(self, img):
        if any(side % 7 for side in img.shape[-2:]):
            raise ValueError('whole windows only')
        windows = F.pixel_unshuffle(img, 7).repeat(1, 2, 1, 1)[:, :48]
        return img + self.dec(windows)[:, :3].repeat_interleave(7, -1).repeat_interleave(7, -2)


class Halving(nn.Module):
    """Returns a smaller image if a side is not a multiple of 4, as U-Nets do. Has two outputs."""

    limits = SizeLimits(4, 4)

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 4, 2, stride=2)
        self.deep = nn.Conv2d(4, 4, 2, stride=2)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.norm = nn.BatchNorm2d(4)
        self.dec = nn.ConvTranspose2d(4, 3, 2, stride=2)

    def forward(self, img):
        half = self.up(self.norm(self.deep(self.down(img))))
        return half[:, :3], self.dec(half)


class Reflecting(nn.Module):
    """Pads images to multiples of 8 by reflection, which needs at least 5 pixels."""

    limits = SizeLimits(1, 5)

    def __init__(self):
        super().__init__()
        self.dec = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, img):
        bottom, right = (-side % 8 for side in img.shape[-2:])
        padded = F.pad(img, (0, right, 0, bottom), mode='reflect')
        return self.dec(padded)[..., : img.shape[-2], : img.shape[-1]]


class DeepReflecting(nn.Module):
    """Pads a feature map at stride 4 by reflection, so its smallest image has 12 pixels."""

    limits = SizeLimits(4, 12)

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 4, 4, stride=4)
        self.body = nn.Sequential(nn.ReflectionPad2d(2), nn.Conv2d(4, 4, 5))
        self.dec = nn.ConvTranspose2d(4, 3, 4, stride=4)

    def forward(self, img):
        return self.dec(self.body(self.down(img)))


NETWORKS = [Asserting, Windows, Halving, Reflecting, DeepReflecting]


def bare_and_padding(kind):
    torch.manual_seed(0)
    bare = kind().eval()
    network = copy.deepcopy(bare)
    accept_any_size(network)
    return bare, network


@pytest.mark.parametrize('kind', NETWORKS)
@torch.no_grad()
def test_any_size_is_restored_and_accepted_sizes_as_without_padding(kind):
    bare, network = bare_and_padding(kind)
    assert network.size_limits == kind.limits
    equal = 0
    for size in SIZES:
        img = image(*size)
        *halves, result = as_list(network(img))
        assert result.shape == img.shape
        assert all(half.shape[-2:] == (-(-size[0] // 2), -(-size[1] // 2)) for half in halves)
        padded = pad_to_multiple(img, **kind.limits._asdict())
        assert torch.equal(result, crop_to(as_list(bare(padded))[-1], *size))
        equal += padded is img
    assert equal


@pytest.mark.parametrize(
    'kind', [pytest.param(k, marks=[pytest.mark.slow] * (k is not Asserting)) for k in NETWORKS]
)
def test_the_prior_goes_on_any_size(kind):
    torch.manual_seed(0)
    bare = kind().eval()
    identity = guide(copy.deepcopy(bare), seams=['dec'])
    guided = randomize(copy.deepcopy(identity)).eval()
    for size in SIZES:
        img = image(*size)
        with torch.no_grad():
            assert guided(img)[-1].shape == img.shape
            assert restore_images(guided, img).shape == img.shape
            if pad_to_multiple(img, **kind.limits._asdict()) is img:
                assert torch.equal(identity.eval()(img)[-1], as_list(bare(img))[-1])
    with torch.no_grad():
        img = image(70, 90)
        tiled = restore_images(guided, img, tile=2 * guided.smallest, overlap=0)
    assert tiled.shape == img.shape
    guided.train()(image(33, 47, batch=2))[-1].mean().backward()
    assert all(parameter.grad is not None for parameter in guided.restorer.parameters())


@pytest.mark.parametrize('kind', [Asserting, Reflecting])
def test_a_plain_network_of_a_model_restores_any_size(kind):
    torch.manual_seed(0)
    bare = kind()
    cfg = dict(type='mmspd.SemanticPriorDeblurrer', losses=LOSSES)
    model = build_model(dict(cfg, generator=copy.deepcopy(bare))).eval()
    assert model.state_dict().keys() == {f'generator.{key}' for key in bare.state_dict()}
    for size in SIZES:
        img = image(*size)
        with torch.no_grad():
            result = model(img, mode='tensor')
            want = bare(pad_to_multiple(img, **kind.limits._asdict()))
        assert torch.equal(result, crop_to(want, *size))


@pytest.mark.slow
def test_copies_are_independent_and_compile():
    bare, network = bare_and_padding(Asserting)
    img = image(7, 5)
    want = network(img)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert other.size_limits == network.size_limits
        hook = next(iter(other._forward_hooks.values())).__self__
        assert hook is next(iter(other._forward_pre_hooks.values())).__self__
        assert hook is not next(iter(network._forward_hooks.values())).__self__
        assert torch.equal(other(img), want)
    accept_any_size(network)
    assert len(network._forward_hooks) == 1
    compiled = torch.compile(network, fullgraph=True, backend='eager')
    assert torch.equal(compiled(img), want)
    assert torch.equal(compiled(image(8, 12)), bare(image(8, 12)))


def test_the_search_changes_nothing():
    network = Halving()
    before = copy.deepcopy(network.state_dict())
    state = torch.get_rng_state()
    accept_any_size(network)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert network.training
    assert network.norm.training


class Scaling(nn.Conv2d):
    def forward(self, img):
        return F.interpolate(super().forward(img), scale_factor=4.0)


class Failing(nn.Conv2d):
    def forward(self, img, depth):
        return super().forward(img)


@pytest.mark.parametrize(
    ('network', 'message'),
    [
        (
            Scaling(3, 3, 1),
            r'Scaling returns the shape \(1, 3, 524, 548\) for an image of shape \(1, 3, 131, 137'
            r'\), but a restorer must keep the shape; set its upscaling factor to 1',
        ),
        (nn.Conv2d(3, 1, 1), r'Conv2d returns the shape \(1, 1, 131, 137\)'),
        (nn.Conv2d(3, 3, 3), r'Conv2d returns the shape \(1, 3, 126, 126\) .*\(1, 3, 128, 128\)'),
    ],
)
def test_networks_that_change_the_shape_are_refused(network, message):
    with pytest.raises(UserError, match=message):
        accept_any_size(network)
    with pytest.raises(UserError, match=message):
        build_model(dict(type='mmspd.SemanticPriorDeblurrer', generator=network, losses=LOSSES))


def test_a_network_that_needs_more_than_an_image(caplog):
    fault = r'Failing does not run on an image of 128x128 pixels without values \(TypeError: .*dept'
    with pytest.raises(UserError, match=fault + '.*; choose a network that maps one image to one'):
        guide(Failing(3, 3, 1), seams=['x'])
    network = Failing(3, 3, 1)
    accept_any_size(network, required=False)
    assert not network._forward_hooks
    assert network.size_limits == SizeLimits()
