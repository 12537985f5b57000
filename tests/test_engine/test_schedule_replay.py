from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import LinearLR, OptimWrapper, OptimWrapperDict, StepLR

from mmspd.engine.schedule_replay import can_replay, replay_schedule


def start(rate):
    """Build a runner with two optimizers, which have schedules of their own."""
    wrappers, schedulers = {}, {}
    for name in ('one', 'two'):
        weight = torch.nn.Parameter(torch.zeros(1))
        wrappers[name] = OptimWrapper(torch.optim.SGD([weight], lr=rate, momentum=0.5))
    schedulers['one'] = [LinearLR(wrappers['one'], start_factor=0.5, end=5, by_epoch=False)]
    schedulers['two'] = [StepLR(wrappers['two'], step_size=1, gamma=0.5)]
    return SimpleNamespace(
        optim_wrapper=OptimWrapperDict(**wrappers),
        param_schedulers=schedulers,
        train_dataloader=range(3),
    )


def test_each_of_several_optimizers_follows_its_own_schedule():
    checkpoint = dict(optimizer=start(1.0).optim_wrapper.state_dict(), param_schedulers={})
    checkpoint['optimizer']['one']['state'] = {0: 'kept'}
    replay_schedule(start(0.8), checkpoint, epoch=1, iteration=3)
    (one,), (two,) = [state['param_groups'] for state in checkpoint['optimizer'].values()]
    assert (one['initial_lr'], one['momentum']) == (0.8, 0.5)
    assert one['lr'] == pytest.approx(0.8 * (0.5 + 0.5 * 3 / 4))
    assert two['lr'] == 0.4
    assert checkpoint['optimizer']['one']['state'] == {0: 'kept'}
    assert 'param_schedulers' not in checkpoint


@pytest.mark.parametrize(('iteration', 'exact'), [(6, True), (5, False)])
def test_mixed_schedules_of_an_optimizer_need_epochs_of_equal_length(iteration, exact):
    """The order of the steps is unknown if the epochs differ in length."""
    runner = start(1.0)
    assert can_replay(runner, 2, iteration)
    runner.param_schedulers = [*runner.param_schedulers['one'], *runner.param_schedulers['two']]
    assert can_replay(runner, 2, iteration) is exact
