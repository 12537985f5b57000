"""Training in float16: losses that overflow in float16, and the scale of the loss."""

import copy
import math

import pytest
import tiny_training
import torch

from mmspd.errors import UserError
from mmspd.models.losses import FrequencyLoss, PriorDistillationLoss, VGGLoss
from mmspd.utils.precision import autocast

pytestmark = [pytest.mark.cuda, pytest.mark.usefixtures('float16_training')]

LARGEST = torch.finfo(torch.float16).max


def check_loss(device, loss, pred, *others, expected):
    """Compare a loss and its gradient under autocast in float16 with a function in float64."""
    precise = [t.double().requires_grad_() for t in pred]
    want = expected(*precise, *(t.double() for t in others))
    want.backward()
    inputs = [t.to(device, torch.float16).requires_grad_() for t in pred]
    with autocast(device, 'float16'):
        got = loss(*inputs, *(t.to(device) for t in others))
    assert got.item() == pytest.approx(want.item(), rel=0.01)
    largest = max(t.grad.abs().max() for t in precise)
    (got / largest).backward()  # as a loss scaler, which adapts the gradients to float16
    for one, other in zip(inputs, precise, strict=True):
        difference = one.grad.cpu().double() * largest - other.grad
        assert difference.norm() < 0.1 * other.grad.norm()


def test_spectra_beyond_float16(device):
    """The sum of the pixels is the first value of a spectrum."""
    torch.manual_seed(0)
    pred, target = torch.rand(1, 3, 512, 512) + 1, torch.rand(1, 3, 512, 512)
    assert (pred - target).sum((-2, -1)).max() > LARGEST

    def expected(pred, target):
        return torch.view_as_real(torch.fft.fft2(pred - target)).abs().mean()

    check_loss(device, FrequencyLoss(loss_weight=1.0), [pred], target, expected=expected)


def test_squares_of_vgg_features_beyond_float16(device):
    torch.manual_seed(0)
    pred, target = torch.rand(2, 1, 3, 32, 32)
    loss = VGGLoss(weights='random', loss_weight=1.0)
    vgg = loss._vgg.get(torch.device('cpu'))
    vgg[-1].weight.mul_(1e5)
    layers, mean, std = (copy.deepcopy(part).double() for part in (vgg, loss.mean, loss.std))

    def expected(pred, target):
        one, other = (layers((img - mean) / std) for img in (pred, target))
        assert (one - other).square().max() > LARGEST > 2 * torch.stack([one, other]).abs().max()
        return (one - other).square().mean()

    check_loss(device, loss.to(device), [pred], target, expected=expected)


@pytest.mark.parametrize('normalize', [False, True])
def test_squares_of_teacher_features_beyond_float16(device, normalize):
    torch.manual_seed(0)
    prior = 1000 * torch.randn(2, 4, 8, 8)
    features = 3000 * torch.randn(2, 6, 8, 8)
    loss = PriorDistillationLoss([4], [6], normalize=normalize, loss_weight=1.0).to(device)
    head = copy.deepcopy(loss.heads[0]).cpu().double()

    def expected(prior, features):
        if normalize:
            variance, mean = torch.var_mean(features, (0, 2, 3), correction=0, keepdim=True)
            features = (features - mean) / (variance + 1e-5).sqrt()
        off = head(prior) - features
        assert off.square().max() > LARGEST
        return sum(torch.nn.functional.avg_pool2d(off, k).square().mean() for k in (1, 2, 4))

    def compare(prior, features):
        return loss([prior], [features.half()])

    check_loss(device, compare, [prior], features, expected=expected)


@pytest.mark.parametrize('start', [2.0**40, 2.0**16], ids=['overflow', 'usual'])
def test_skipped_steps_lower_the_scale_and_training_goes_on(device, start):
    model = tiny_training.build(device)
    wrapper = tiny_training.optimizer(
        model, type='mmspd.AmpOptimWrapper', dtype='float16', loss_scale=dict(init_scale=start)
    )
    scales, weights = [start], [tiny_training.weights(model)]
    for batch in tiny_training.batches(40):
        (losses,) = tiny_training.train(model, [batch], wrapper)
        assert all(math.isfinite(loss) for loss in losses.values())
        scales.append(wrapper.loss_scaler.get_scale())
        weights.append(tiny_training.weights(model))
        taken = [not torch.equal(*pair) for pair in zip(weights, weights[1:])]
        if sum(taken) == 3:
            break
    lowered = [after == before / 2 for before, after in zip(scales, scales[1:])]
    assert lowered == [not each for each in taken]
    assert taken[0] == (start < 2.0**40)
    assert taken[-1]
    assert all(torch.isfinite(each).all() for each in weights)


def test_features_that_overflow_stop_the_run(device, make_runner):
    runner = make_runner(
        "optim_wrapper.update(type='mmspd.AmpOptimWrapper', dtype='float16')", base='distilled'
    )
    runner.model.init_weights()
    runner.model._teacher.get(torch.device('cpu')).backbone.conv1.weight.mul_(1e6)
    with pytest.raises(UserError, match=r'at iteration 1 because loss_prior is (nan|inf)'):
        runner.train()
