"""The checks of the restorers' tests can fail: weights at unit gain, and mutations."""

import pytest
import torch
import torch.nn.functional as F
from mutations import effects
from restorer_contract import check_every_block_is_visible, image
from torch import nn
from unit_gain import unit_gain

from mmspd.registry import build_model

LAYERS = {
    'convolution': nn.Conv2d(64, 64, 3),
    'grouped': nn.Conv2d(64, 64, 5, groups=4),
    'depthwise': nn.Conv2d(64, 64, 7, groups=64),
    'strided': nn.Conv2d(64, 64, 4, stride=2),
    'transposed': nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1),
    'grouped and transposed': nn.ConvTranspose2d(64, 64, 2, stride=2, groups=2),
}


@pytest.mark.parametrize('name', LAYERS)
def test_a_layer_keeps_the_deviation_of_its_input(name):
    layer = unit_gain(LAYERS[name])
    nn.init.zeros_(layer.bias)
    img = torch.randn(4, 64, 24, 24, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        inside = layer(img)[..., 4:-4, 4:-4]
    assert inside.std().item() == pytest.approx(1, abs=0.1)


def test_other_tensors_are_near_their_usual_values_and_all_different():
    network = nn.Sequential(nn.Linear(400, 400), nn.PReLU(400), nn.BatchNorm1d(400))
    layer, slope, norm = unit_gain(network)
    means = dict(
        bias=(layer.bias, 0, 0.1),
        slope=(slope.weight, 0.25, 0.05),
        scale=(norm.weight, 1, 0.2),
        mean=(norm.running_mean, 0, 0.1),
        variance=(norm.running_var, 1.04, 0.41),
        weight=(layer.weight, 0, 0.05),
    )
    for tensor, mean, deviation in means.values():
        assert tensor.mean().item() == pytest.approx(mean, abs=deviation / 5)
        assert tensor.std().item() == pytest.approx(deviation, rel=0.15)
        assert len(tensor.unique()) > 0.9 * tensor.numel()
    assert (norm.running_var > 0).all()
    assert norm.num_batches_tracked == 0


@pytest.mark.slow
def test_small_weights_hide_the_channel_attention_of_mprnet():
    """At a gain of 0.3, a wrong gate in a deep level changes the outputs as rounding does."""
    cfg = dict(type='mmspd.MPRNet', base=8, growth=4, reduction=1, num_stages=1)
    network = unit_gain(build_model(cfg).double().eval())
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.mul_(0.3)
    gate = r'stage1_encoder\.encoder_level3\.1\.CA\.conv_du\.3 \(sigmoid'
    with pytest.raises(AssertionError, match=gate):
        check_every_block_is_visible(network, image(8, 8).double())


class Example(nn.Module):
    """Has a block of every kind: ordinary, repeated, without effect, and unused."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.act = nn.PReLU()
        self.rest = nn.Sequential(nn.Conv2d(6, 3, 1), nn.Dropout(), nn.Identity(), self.act)
        self.unused = nn.Conv2d(3, 3, 1)
        self.hidden = nn.Conv2d(3, 3, 1)

    def forward(self, img):
        small = F.interpolate(img, scale_factor=0.5, mode='bilinear', align_corners=False)
        double = F.interpolate(self.act(self.conv(small)), scale_factor=2)
        x = self.rest(torch.cat([img, double], 1))
        for state in (torch.zeros_like(x), x):  # the first product has no effect
            x = x + state * 2
        return [x + 1e-14 * self.hidden(x), img * torch.sigmoid(x)]


def test_effects_of_an_example():
    network = unit_gain(Example().double().eval())
    found = effects(network, image(8, 8).double())
    names = 'interpolate interpolate interpolate cat mul add add mul add add sigmoid mul mul'
    names = [f' ({name} {number}' for number, name in enumerate(names.split())]
    assert [name.split(',')[0] for name in found] == ['conv', 'act', 'rest.0', 'hidden', *names]
    assert all(name.split(', ')[1].startswith('test_mutations.py:') for name in list(found)[4:])
    # the block with the tiny factor, and the sum without its result
    assert [name.split(',')[0] for name in found if found[name] < 1e-10] == ['hidden', ' (add 8']
    assert list(effects(network, image(8, 8).double(), within='rest')) == ['rest.0']
