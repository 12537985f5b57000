"""A resumed run refuses a checkpoint with a wrong training state, and runs none of its text."""

import copy

import pytest
import torch
from mmengine.config import Config

from mmspd.engine.runner import build_runner
from mmspd.errors import UserError

pytestmark = pytest.mark.slow
STATE = """
default_hooks['checkpoint'] = dict(type='mmspd.CheckpointHook')
optim_wrapper = dict(type='mmspd.OptimWrapper', optimizer=dict(type='Adam', lr=2e-3))
train_cfg['max_epochs'] = 2
"""


@pytest.fixture(scope='module')
def trained():
    """The checkpoint of the first epoch; the first test trains it."""
    return {}


@pytest.fixture
def resume(trained, write_config, tmp_path):
    """Return a function that changes the checkpoint and resumes from it."""
    config = Config.fromfile(write_config(STATE))

    def run(work, **changes):
        config.work_dir = str(tmp_path / work)
        config.experiment_name = f'{tmp_path.name}_{work}'
        config.merge_from_dict(changes)
        runner = build_runner(copy.deepcopy(config))
        runner.train()
        return runner

    if not trained:
        run('first')
        trained.update(torch.load(tmp_path / 'first' / 'epoch_1.pth', weights_only=True))

    def resume(change):
        checkpoint = copy.deepcopy(trained)
        change(checkpoint)
        path = str(tmp_path / 'changed.pth')
        torch.save(checkpoint, path)
        return run('resumed', load_from=path, resume=True)

    return resume


def moments(checkpoint):
    return checkpoint['optimizer']['state'][0]


def set_history(checkpoint, **parts):
    checkpoint['message_hub']['log_scalars']['train/loss'].update(parts)


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (lambda c: c.update(optimizer=5), 'cannot be resumed|cannot continue'),
        (
            lambda c: moments(c).update(exp_avg=torch.ones(3)),
            r'exp_avg of the optimizer is \(3,\),',
        ),
        (lambda c: moments(c).update(exp_avg='text'), 'exp_avg of the optimizer is a str'),
        (lambda c: c['optimizer']['param_groups'][0].update(lr='x'), 'a wrong value for lr'),
        (lambda c: c['optimizer']['param_groups'].pop(), 'cannot be resumed'),
        (lambda c: c['param_schedulers'][0].update(optimizer=5), 'learning rate schedule'),
        (lambda c: c['param_schedulers'][0].update(step='x'), 'learning rate schedule'),
        (lambda c: c['meta'].update(epoch='one'), 'cannot be resumed|cannot continue'),
        (lambda c: c.pop('message_hub'), 'cannot be resumed|cannot continue'),
        (lambda c: set_history(c, log_history=['x']), 'log train/loss is not a list of numbers'),
        (lambda c: set_history(c, count_history=[]), 'log train/loss is not a list of numbers'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_a_wrong_state_is_refused(resume, change, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        resume(change)
    assert 'changed.pth' in str(error.value)


def test_the_config_in_a_checkpoint_is_not_run(resume, tmp_path, trained):
    marker = tmp_path / 'marker'
    runner = resume(lambda c: c['meta'].update(config=f"x = open({str(marker)!r}, 'w')"))
    assert runner.epoch == 2
    assert not marker.exists()
