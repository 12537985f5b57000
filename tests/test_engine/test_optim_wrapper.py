"""The optimizer step: precision, accumulation and clipping, without waiting for the device."""

import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmspd.errors import UserError


def wrap(model, **cfg):
    cfg = dict(type='mmspd.OptimWrapper', optimizer=dict(type='SGD', lr=0.5), **cfg)
    return build_optim_wrapper(model, cfg)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 3))


def train(model, batches, **cfg):
    wrapper = wrap(model, **cfg)
    for batch in batches:
        with wrapper.optim_context(model):
            loss = model(batch).float().square().mean()
        wrapper.update_params(loss)
    return wrapper


@pytest.fixture
def images():
    return torch.rand(4, 3, 9, 9, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('clip', [None, dict(max_norm=1e-3)])
def test_two_batches_of_two_equal_one_of_four(images, clip):
    whole, parts = network(), network()
    train(whole, [images], clip_grad=copy.copy(clip))
    train(parts, images.split(2), accumulative_counts=2, clip_grad=copy.copy(clip))
    assert not torch.equal(whole[0].weight, network()[0].weight)
    for one, other in zip(whole.parameters(), parts.parameters()):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_computes_in_bfloat16_and_keeps_float32(images):
    model, seen = network(), []
    model[0].register_forward_hook(lambda module, args, out: seen.append(out.dtype))
    train(model, images.split(2), dtype='bfloat16', accumulative_counts=2)
    train(model, [images])
    assert seen == [torch.bfloat16, torch.bfloat16, torch.float32]
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert not torch.equal(model[0].weight, network()[0].weight)


def test_gradient_norm_stays_on_the_device_until_the_log(images):
    model = network()
    model(images).square().mean().backward()
    grads = torch.cat([p.grad.flatten() for p in model.parameters()])
    model.zero_grad()
    wrapper = train(model, [images], clip_grad=dict(max_norm=0.01))
    assert set(wrapper.unread) == {'grad_norm'}
    torch.testing.assert_close(wrapper.unread['grad_norm'], torch.linalg.vector_norm(grads))
    assert not train(model, [images], clip_grad=dict(type='value', clip_value=1.0)).unread


def test_other_types_are_refused():
    with pytest.raises(UserError, match="use 'bfloat16' or None, or set .* for float16"):
        wrap(network(), dtype='float16')


def test_slow_bfloat16_gives_a_warning_in_training(images, pretend_processor):
    warnings = pretend_processor('avx512_vnni')
    train(network(), images.split(2), dtype='bfloat16')
    assert len(warnings) == 1
    assert 'has no bfloat16 instructions, so bfloat16 is slower than float32' in warnings[0]
