import math

import pytest
import torch
from torch import nn

from mmspd.utils.cost_model import (
    Link,
    Step,
    buckets_of,
    epoch_steps,
    fit_link,
    ring_seconds,
    step_seconds,
)

LINK = Link(bandwidth=1e9, latency=1e-5)


def test_ring_counts_what_every_link_carries():
    """An independent count: chunks of a 1/P of the data, passed on 2 (P - 1) times."""
    processes, size = 4, 8_000_000
    seconds = 0.0
    for _ in range(processes - 1):  # reduce-scatter
        seconds += LINK.latency + (size / processes) / LINK.bandwidth
    for _ in range(processes - 1):  # all-gather
        seconds += LINK.latency + (size / processes) / LINK.bandwidth
    assert ring_seconds(processes, size, LINK) == pytest.approx(seconds)
    assert ring_seconds(processes, size, LINK, calls=3) == pytest.approx(
        seconds + 2 * 2 * (processes - 1) * LINK.latency
    )
    assert ring_seconds(1, size, LINK) == 0


@pytest.mark.parametrize('link', [LINK, Link(2e8, 0.0), Link(5e10, 3e-4)])
def test_a_link_is_found_again(link):
    cases = [(p, size) for p in (2, 4) for size in (1 << 16, 1 << 22, 1 << 26)]
    found = fit_link([(p, size, ring_seconds(p, size, link)) for p, size in cases])
    assert found.bandwidth == pytest.approx(link.bandwidth, rel=1e-6)
    assert found.latency == pytest.approx(link.latency, rel=1e-6, abs=1e-12)


def test_times_that_show_no_size_fit_no_negative_bandwidth():
    assert fit_link([(2, 1000, 2e-3), (2, 2000, 1e-3)]).bandwidth == math.inf


def test_step_hides_communication_behind_the_backward_pass():
    step = Step(compute=0.3, backward=0.2, gradient=100_000_000, loading=0.0)
    ring = ring_seconds(2, step.gradient, LINK, buckets_of(step.gradient))
    assert ring > 0.1
    assert step_seconds(step, 2, LINK, overlap=0) == pytest.approx(0.3 + ring)
    assert step_seconds(step, 2, LINK, overlap=0.25) == pytest.approx(0.3 + ring - 0.05)
    assert step_seconds(step, 2, LINK, overlap=1) == 0.3
    assert step_seconds(step._replace(loading=0.7), 2, LINK, overlap=0) == 0.7
    assert step_seconds(step, 1, LINK, overlap=0) == 0.3


def test_buckets_are_those_of_pytorch():
    layers = nn.Sequential(*[nn.Linear(1024, 1024, bias=False) for _ in range(20)])  # 4 MiB each
    buckets, _ = torch.distributed._compute_bucket_assignment_by_size(
        list(layers.parameters()), [1 << 20, 25 << 20]
    )
    # PyTorch closes a bucket with the tensor that fills it, so that it may hold more
    assert len(buckets) <= buckets_of(20 * 1024 * 1024 * 4) <= len(buckets) + 1


def test_every_process_has_an_equal_share_of_an_epoch():
    assert epoch_steps(2103, 4, 1) == 526
    assert epoch_steps(2103, 4, 8) == 66
    assert epoch_steps(2103, 10, 64) == 4
