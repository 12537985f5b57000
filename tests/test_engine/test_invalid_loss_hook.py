import math
from pathlib import Path

import pytest
import torch

from mmspd.errors import UserError


@pytest.mark.parametrize(
    ('value', 'iteration', 'saved'),
    [(math.nan, 1, 'no checkpoint was saved yet'), (math.inf, 5, 'the last .*/work/epoch_1.pth')],
)
def test_loss_that_is_not_finite_stops_the_run(
    make_runner, tmp_path, monkeypatch, value, iteration, saved
):
    """An epoch has three iterations."""
    runner = make_runner(**{'train_cfg.max_epochs': 3})
    real, calls = runner.model.forward_train, []

    def forward_train(*args, **kwargs):
        losses = real(*args, **kwargs)
        calls.append(1)
        if len(calls) == iteration:
            losses['loss_freq'] = losses['loss_freq'] * value
        return losses

    monkeypatch.setattr(runner.model, 'forward_train', forward_train)
    start = rf'^Training stopped at iteration {iteration} because loss_freq is {value} \({saved}\);'
    with pytest.raises(UserError, match=f'{start} lower optim_wrapper.optimizer.lr'):
        runner.train()
    assert not Path(tmp_path, 'work', 'epoch_2.pth').exists()


@pytest.mark.slow
def test_invalid_weights_are_not_saved(make_runner, tmp_path, monkeypatch):
    """The loss can be finite while the last step before a save makes the weights invalid."""
    runner = make_runner(**{'train_cfg.max_epochs': 1})
    real = runner.model.train_step

    def train_step(*args, **kwargs):
        outputs = real(*args, **kwargs)
        if runner.iter == 2:
            runner.model.generator.SCM1.conv.main[0].bias.data[0] = math.nan
        return outputs

    monkeypatch.setattr(runner.model, 'train_step', train_step)
    message = '1 weight tensors are not finite, the first is generator.SCM1.conv.main.0.bias'
    with pytest.raises(UserError, match=message):
        runner.train()
    assert not list(Path(tmp_path, 'work').glob('*.pth'))


@pytest.mark.slow
def test_values_that_are_no_losses_may_be_nan(make_runner, monkeypatch):
    runner = make_runner(**{'train_cfg.max_epochs': 1})
    real = runner.model.forward_train
    monkeypatch.setattr(
        runner.model,
        'forward_train',
        lambda *args, **kwargs: dict(real(*args, **kwargs), ratio=torch.tensor(math.nan)),
    )
    runner.train()
    assert runner.iter == 3
