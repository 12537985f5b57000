"""MPRNet's edge loss against its formula in NumPy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from mmspd.registry import MODELS, build_model


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.rand(2, 2, 3, 11, 14).unbind()


def _edges(image):
    """x - G(up(G(x))) of one channel, in float64."""
    taps = np.array([0.05, 0.25, 0.4, 0.25, 0.05])
    kernel = np.outer(taps, taps)
    blurred = correlate(image.double().numpy(), kernel, mode='nearest')
    spread = np.zeros_like(blurred)
    spread[::2, ::2] = 4 * blurred[::2, ::2]
    return image.double().numpy() - correlate(spread, kernel, mode='nearest')


def test_edge_loss(images):
    pred, target = images
    differences = [_edges(p) - _edges(t) for p, t in zip(pred.flatten(0, 1), target.flatten(0, 1))]
    want = np.mean(np.sqrt(np.square(differences) + 1e-3**2))
    loss = build_model(dict(type='mmspd.EdgeLoss', loss_weight=1.0))(pred, target)
    assert loss.item() == pytest.approx(want, rel=1e-6)
    assert MODELS.build(dict(type='mmspd.EdgeLoss'))(pred, target) == 0.05 * loss
    flat = build_model(dict(type='mmspd.EdgeLoss', loss_weight=1.0, eps=0.5))(pred, pred)
    assert flat.item() == pytest.approx(0.5)


def test_edge_loss_follows_the_device_and_runs_in_float32(images):
    loss = build_model(dict(type='mmspd.EdgeLoss'))
    assert not loss.state_dict()
    assert loss.to('meta').kernel.is_meta
    loss = build_model(dict(type='mmspd.EdgeLoss'))
    pred, target = images
    pred.requires_grad_()
    with torch.autocast('cpu', torch.bfloat16):
        value = loss(pred, target)
    assert value == loss(pred, target)
    value.backward()
    assert pred.grad.abs().sum() > 0
