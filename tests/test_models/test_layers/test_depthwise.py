"""Depthwise convolutions in float32 under the autocast of a CPU."""

import pytest
import torch
from torch import nn

from mmspd.models.layers.depthwise import depthwise_in_float32
from mmspd.models.layers.feature_net import FeatureNet

IMAGE = torch.rand(2, 6, 12, 12)


@pytest.fixture
def convs():
    """A depthwise and a dense convolution with values that bfloat16 rounds."""
    torch.manual_seed(0)
    return nn.Conv2d(6, 6, 3, groups=6), nn.Conv2d(6, 6, 3)


def run(conv, dtype=torch.bfloat16):
    with torch.autocast('cpu', dtype), depthwise_in_float32(IMAGE):
        return conv(IMAGE)


def test_only_depthwise_convolutions_are_computed_in_float32(convs):
    depthwise, dense = convs
    assert torch.equal(run(depthwise), depthwise(IMAGE).bfloat16())
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(run(dense), dense(IMAGE))
        assert not torch.equal(run(depthwise), depthwise(IMAGE))  # the test can tell


def test_the_gradients_are_those_of_float32(convs):
    depthwise = convs[0]
    (expected,) = torch.autograd.grad(depthwise(IMAGE).sum(), [depthwise.weight])
    (found,) = torch.autograd.grad(run(depthwise).float().sum(), [depthwise.weight])
    torch.testing.assert_close(found, expected)


def test_nothing_changes_without_gradients_or_autocast(convs):
    depthwise = convs[0]
    with depthwise_in_float32(IMAGE):
        assert depthwise(IMAGE).dtype == torch.float32
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        plain = depthwise(IMAGE)
        with depthwise_in_float32(IMAGE):
            assert torch.equal(depthwise(IMAGE), plain)


def test_a_backbone_uses_the_context():
    backbone = dict(
        type='mmpretrain.TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        out_indices=(1,),
    )
    net = FeatureNet(backbone, weights='random')
    calls, original = [], torch.conv2d

    class Spy(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func is original and args[1].shape[1] == 1:
                calls.append(args[0].dtype)
            return func(*args, **(kwargs or {}))

    with torch.autocast('cpu', torch.bfloat16), Spy():
        net(torch.rand(2, 3, 64, 64))
    assert calls
    assert set(calls) == {torch.float32}
