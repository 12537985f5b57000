import time

import pytest
import torch
from measure import (
    allocated_peak,
    paired_ratio,
    summarize,
    time_in_turns,
)
from torch import nn

CPU = torch.device('cpu')


def test_summary():
    assert summarize([3.0]) == (3.0, 3.0, 3.0)
    assert summarize([5.0, 1.0, 2.0, 4.0, 3.0]) == (3.0, 2.0, 4.0)


def test_a_slow_spell_of_the_machine_leaves_paired_ratios_alone():
    quiet, slow = [1.0, 1.0, 1.0], [10.0, 10.0, 10.0]
    assert paired_ratio([2.0, *slow], [1.0, 5.0, 5.0, 5.0]).median == 2.0
    assert paired_ratio(quiet, slow) == (0.1, 0.1, 0.1)


def test_functions_take_turns():
    order = []

    def nap():
        order.append('nap')
        time.sleep(0.02)

    found = time_in_turns({'nap': nap, 'none': lambda: order.append('none')}, CPU, 3, warm_up=1)
    assert order == ['nap', 'none'] * 4
    assert [len(values) for values in found.values()] == [3, 3]
    assert min(found['nap']) >= 0.02
    assert max(found['none']) < 0.02


def test_peak_counts_what_lives_at_once():
    def chain():
        first = torch.zeros(1 << 20)  # 4 MiB
        second = first + 1
        del first
        return (second + 1).sum()

    assert 8 << 20 <= allocated_peak(chain, CPU) < 8.1 * (1 << 20)


def test_peak_of_a_training_step_holds_the_activations():
    image = torch.rand(1, 8, 64, 64)

    def peak(depth):
        net = nn.Sequential(*[nn.Conv2d(8, 8, 3, padding=1) for _ in range(depth)])
        return allocated_peak(lambda: net(image).sum().backward(), CPU)

    activation = image.numel() * image.element_size()
    assert peak(8) - peak(2) == pytest.approx(6 * activation, rel=0.35)
