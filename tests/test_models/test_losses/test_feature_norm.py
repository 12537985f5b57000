"""FeatureNorm gives the same result on one rank and on several."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from torch import nn

from mmspd.models.losses import feature_norm
from mmspd.models.losses.feature_norm import FeatureNorm


@pytest.fixture
def features():
    return torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0)) * 7 + 2


def test_feature_norm_is_a_batch_norm_without_weights(features):
    norm, expected = FeatureNorm(3), nn.BatchNorm2d(3, affine=False)
    for batch in (features, features * 2):
        torch.testing.assert_close(norm(batch.bfloat16()), expected(batch.bfloat16().float()))
    torch.testing.assert_close(norm.running_var, expected.running_var)
    torch.testing.assert_close(norm.eval()(features), expected.eval()(features))
    torch.testing.assert_close(norm.undo(norm(features)), features)


def test_ranks_with_different_numbers_of_images_equal_one_rank(features, monkeypatch):
    alone = FeatureNorm(3)
    expected = alone(features)

    # Two ranks, with one and with three images, as threads that wait for each other.
    barrier, sums = Barrier(2), []

    def all_reduce(values, group):
        assert group == 'some'
        sums.append(values.clone())
        barrier.wait()
        total = sum(sums)
        barrier.wait()
        sums.clear()
        barrier.wait()
        values.copy_(total)

    monkeypatch.setattr(feature_norm, 'get_world_size', lambda group: 2)
    monkeypatch.setattr(feature_norm, 'all_reduce', all_reduce)
    norms = [FeatureNorm(3), FeatureNorm(3)]
    for norm in norms:
        norm.process_group = 'some'
    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(lambda norm, part: norm(part), norms, features.split([1, 3])))
    torch.testing.assert_close(torch.cat(got), expected)
    for norm in norms:
        torch.testing.assert_close(norm.running_mean, alone.running_mean)
        torch.testing.assert_close(norm.running_var, alone.running_var)
