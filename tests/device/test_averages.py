"""Accumulated gradients and averaged weights on the device."""

import pytest
import tiny_training
import torch
from mmengine.model import ExponentialMovingAverage

pytestmark = pytest.mark.cuda


def test_accumulated_batches_equal_the_large_batch(device):
    whole, parts = (tiny_training.build(device, normalize=False) for _ in range(2))
    start = tiny_training.weights(whole)
    (large,) = tiny_training.batches(1, size=4)
    halves = [{key: part[at : at + 2] for key, part in large.items()} for at in (0, 2)]
    tiny_training.train(whole, [large])
    tiny_training.train(parts, halves, tiny_training.optimizer(parts, accumulative_counts=2))
    tiny_training.check_equal_moves(
        start, tiny_training.weights(parts), tiny_training.weights(whole), 1e-4
    )


def test_averaged_weights_equal_their_formula(device):
    model, average = tiny_training.build(device), 0.25
    ema = ExponentialMovingAverage(model, average)
    want = None
    for batch in tiny_training.batches(3):
        tiny_training.train(model, [batch])
        ema.update_parameters(model)
        seen = tiny_training.weights(model)
        want = seen if want is None else (1 - average) * want + average * seen
    averaged = torch.cat([p.flatten() for n, p in ema.module.named_parameters()])
    trained = torch.cat([p.flatten() for n, p in model.named_parameters()])
    assert averaged.device == trained.device
    assert averaged.device.type == device.type
    torch.testing.assert_close(averaged.cpu().double(), want, rtol=1e-5, atol=1e-7)
    assert (want - seen).norm() > 1e-3 * seen.norm()
