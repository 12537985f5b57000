"""The teacher on the device in its own precision, against the CPU's features in float32."""

import pytest
import tiny_training
import torch

from mmspd.utils.precision import autocast

pytestmark = pytest.mark.cuda

#: Largest error of a level, as a share of its norm.
TOLERANCES = {'float32': 1e-4, 'bfloat16': 0.03, 'float16': 0.004}


def features_of(model, sharp):
    return [f.float().cpu() for f in model.teacher_features(sharp, sharp)]


@pytest.mark.parametrize('surrounding', ['float32', 'bfloat16'])
@pytest.mark.parametrize('precision', TOLERANCES)
def test_features_in_each_precision(device, precision, surrounding):
    if (device.type, precision) == ('cpu', 'float16'):
        pytest.skip("teacher.dtype='float16' needs an accelerator")
    sharp = torch.rand(2, 3, 35, 45, generator=torch.Generator().manual_seed(0))
    want = features_of(tiny_training.build(torch.device('cpu')), sharp)
    model = tiny_training.build(device, **{'teacher.dtype': precision})
    with autocast(device, surrounding):
        features = model.teacher_features(sharp.to(device), sharp.to(device))
    assert {f.device.type for f in features} == {device.type}
    errors = [(f.cpu() - w).norm() / w.norm() for f, w in zip(features, want, strict=True)]
    assert max(errors) < TOLERANCES[precision], errors
    if precision != 'float32':  # otherwise, the teacher did not compute in its precision
        assert max(errors) > 1e-5
        kept = model._teacher.get(device).backbone.conv1.weight.dtype
        assert kept == getattr(torch, precision)


def test_the_prior_learns_the_same_from_a_teacher_in_bfloat16(device):
    data = tiny_training.batches(2)
    want = tiny_training.train(tiny_training.build(device), data)
    half = tiny_training.build(device, **{'teacher.dtype': 'bfloat16'})
    got = tiny_training.train(half, data)
    for step, expected in zip(got, want, strict=True):
        assert step == pytest.approx(expected, rel=0.01)
        assert step['loss_prior'] != expected['loss_prior']
