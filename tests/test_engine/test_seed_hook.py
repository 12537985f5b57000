import pytest
import torch

from mmspd.engine import IterationSeedHook
from mmspd.engine.seed_hook import iteration_seed


def test_seeds_differ_in_every_part():
    seeds = {iteration_seed(*parts) for parts in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}
    assert len(seeds) == 4
    assert iteration_seed(3, 1, 7) == iteration_seed(3, 1, 7)


def draws_of(runner, monkeypatch, disturb):
    """Random numbers of each iteration of a run."""
    draws = {}

    def train_step(*args, **kwargs):
        draws[runner.iter] = torch.rand(2).tolist()
        if disturb:
            torch.rand(runner.iter + 1)
        return {}

    monkeypatch.setattr(runner.model, 'train_step', train_step)
    runner.train()
    return draws


@pytest.mark.slow
def test_random_numbers_depend_on_seed_and_iteration_only(make_runner, monkeypatch):
    changes = dict(val_cfg=None, val_dataloader=None, val_evaluator=None)
    changes['default_hooks.checkpoint'] = None
    first = draws_of(make_runner('', 'a', **changes), monkeypatch, disturb=False)
    again = draws_of(make_runner('', 'b', **changes), monkeypatch, disturb=True)
    other = draws_of(make_runner('randomness = dict(seed=1)', 'c', **changes), monkeypatch, True)
    assert first == again
    assert all(other[key] != first[key] for key in first)
    assert len({tuple(value) for value in first.values()}) == len(first) == 6


def test_sampler_gets_the_seed_of_the_resumed_run(make_runner):
    runner = make_runner()
    runner.train_loop  # noqa: B018 - builds it
    runner.set_randomness(seed=11)
    IterationSeedHook().before_train(runner)
    assert runner.train_dataloader.sampler.seed == 11
