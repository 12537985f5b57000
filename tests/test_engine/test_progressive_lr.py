"""Restormer's schedule: crop, batch and learning rate change together for any number of GPUs."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmspd.registry import PARAM_SCHEDULERS

CONFIG = Path(__file__).resolve().parents[2] / 'configs' / 'spd' / 'restormer_gopro.py'


@pytest.fixture
def schedule():
    """The schedule of the recipe for an optimizer with learning rate 3e-4."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=3e-4)
    cfg = Config.fromfile(CONFIG)
    scheduler = PARAM_SCHEDULERS.build(cfg.param_scheduler, default_args=dict(optimizer=optimizer))
    return cfg, optimizer, scheduler


def test_rate_at_the_stages(schedule):
    cfg, optimizer, scheduler = schedule
    rates = []
    for _ in range(cfg.max_epochs):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    assert rates[0] == rates[cfg.milestones[0]] == 3e-4
    for milestone, iteration in zip(cfg.milestones, (92e3, 156e3, 204e3, 240e3, 276e3)):
        done = (iteration - 92e3) / 208e3
        expected = 1e-6 + (3e-4 - 1e-6) * 0.5 * (1 + math.cos(math.pi * done))
        assert rates[milestone] == pytest.approx(expected, rel=1e-6)
    assert optimizer.param_groups[0]['lr'] == pytest.approx(1e-6)


def test_epochs_of_the_recipe_have_its_iterations(schedule):
    """The recipe has 2103 images, repeated 8 times, and 8 GPUs."""
    cfg, _, scheduler = schedule
    sizes = [cfg.train_dataloader.batch_size, *cfg.train_dataloader.batch_sampler.later_batch_sizes]
    bounds = [0, *cfg.milestones, cfg.max_epochs]
    for stage, (size, expected) in enumerate(zip(sizes, cfg.param_scheduler.stage_iters)):
        iterations = (bounds[stage + 1] - bounds[stage]) * (2103 * 8 // (size * 8))
        assert iterations == pytest.approx(expected, rel=0.04)
    assert scheduler.factor(cfg.max_epochs) == 0


def test_stages_must_match():
    cfg = Config.fromfile(CONFIG).param_scheduler
    cfg.stage_iters = [1, 2]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match='got 2 stage_iters and 5 milestones'):
        PARAM_SCHEDULERS.build(cfg, default_args=dict(optimizer=optimizer))
