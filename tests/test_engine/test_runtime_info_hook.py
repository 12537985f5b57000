"""The values of the log equal MMEngine's and are fetched in one copy per log line."""

import json
from pathlib import Path

import pytest
import support
import torch

from mmspd.engine import InvalidLossHook, runtime_info_hook
from mmspd.errors import UserError

CLIPPED = """
optim_wrapper = dict(
    type='mmspd.OptimWrapper', optimizer=dict(type='Adam', lr=2e-3), clip_grad=dict(max_norm=1.0))
"""
#: A loop of iterations, with a validation and a checkpoint between the lines of the log.
BY_ITERATION = """
train_cfg = dict(type='IterBasedTrainLoop', max_iters=6, val_interval=3)
log_processor['by_epoch'] = False
default_hooks['checkpoint'] = dict(by_epoch=False, interval=5)
"""


def scalars(runner):
    return {
        key: history.data[0].tolist()
        for key, history in runner.message_hub.log_scalars.items()
        if key.startswith('train/') and 'time' not in key
    }


def log_of(runner):
    (file,) = Path(runner.work_dir).rglob('vis_data/scalars.json')
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [{k: v for k, v in line.items() if 'time' not in k} for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize(
    ('interval', 'loop'), [(2, ''), pytest.param(4, BY_ITERATION, marks=pytest.mark.slow)]
)
def test_log_equals_mmengines(make_runner, interval, loop):
    logs = {'default_hooks.logger.interval': interval, 'log_processor.window_size': 2}
    logs['optim_wrapper.optimizer.fused'] = True  # MMEngine's wrapper does not choose it
    ours, theirs = (
        make_runner(CLIPPED + loop, work='ours', **logs),
        make_runner(
            CLIPPED.replace('mmspd.', 'mmengine.') + loop,
            work='theirs',
            **logs,
            **{'default_hooks.runtime_info.type': 'mmengine.RuntimeInfoHook'},
            **{'default_hooks.invalid_loss.type': 'mmengine.SyncBuffersHook'},
        ),
    )
    ours.train()
    theirs.train()
    expected = scalars(theirs)
    assert len(expected['train/grad_norm']) == len(expected['train/loss_pix']) == 6
    assert scalars(ours) == expected
    assert log_of(ours) == log_of(theirs)


@pytest.mark.slow
def test_resumed_run_logs_the_same(make_runner, tmp_path):
    whole = make_runner(CLIPPED, work='whole', **{'train_cfg.max_epochs': 3})
    whole.train()
    resumed = make_runner(
        CLIPPED,
        work='resumed',
        **{'train_cfg.max_epochs': 3},
        resume=True,
        load_from=str(tmp_path / 'whole' / 'epoch_2.pth'),
    )
    resumed.train()
    assert scalars(resumed) == scalars(whole)


@pytest.mark.slow
def test_checkpoint_between_log_lines_holds_the_whole_log(make_runner, tmp_path):
    changes = {'interval': 2, 'by_epoch': False, 'filename_tmpl': 'iter_{}.pth'}
    changes['max_keep_ckpts'] = -1
    runner = make_runner(
        **{f'default_hooks.checkpoint.{key}': value for key, value in changes.items()},
        **{'default_hooks.logger.interval': 100},
    )
    runner.train()
    hub = torch.load(tmp_path / 'work' / 'iter_2.pth')['message_hub']
    assert len(hub['log_scalars']['train/loss']['log_history']) == 2


@pytest.mark.slow
def test_no_iteration_waits_for_the_device(make_runner):
    runner = make_runner(CLIPPED, **{'default_hooks.logger.interval': 100})
    run_iter, reads = runner.train_loop.run_iter, support.DeviceReads()

    def watched(*args):
        with reads:
            run_iter(*args)

    runner.train_loop.run_iter = watched
    runner.train()
    assert runner.iter == 6
    assert not reads.places


@pytest.mark.slow
def test_histories_are_limited(make_runner, monkeypatch):
    runner = make_runner()
    with monkeypatch.context() as patch:
        patch.setattr(runtime_info_hook, 'MAX_HISTORY', 4)
        runner.train()
    lengths = {key: len(values) for key, values in scalars(runner).items()}
    assert set(lengths.values()) == {4}
    whole = make_runner(work='whole')
    whole.train()
    assert {k: v[-4:] for k, v in scalars(whole).items()} == scalars(runner)


def test_invalid_loss_hook_needs_the_hook(make_runner):
    runner = make_runner(**{'default_hooks.runtime_info.type': 'mmengine.RuntimeInfoHook'})
    with pytest.raises(UserError, match='set default_hooks.runtime_info=dict'):
        InvalidLossHook().before_train(runner)
