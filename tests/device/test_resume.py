"""A resumed run on the device: equal weights with deterministic algorithms, else close losses."""

import pytest
import support
import torch

pytestmark = pytest.mark.cuda

#: Dropout, averaged weights and clipping. In float16, the scale is lowered during the first epoch.
WRAPPERS = {
    'float32': dict(type='mmspd.OptimWrapper'),
    'bfloat16': dict(type='mmspd.OptimWrapper', dtype='bfloat16'),
    'float16': dict(
        type='mmspd.AmpOptimWrapper', dtype='float16', loss_scale=dict(init_scale=2.0**19)
    ),
}


@pytest.fixture
def train(device, make_runner, tmp_path, float16_training):
    """Return a function that trains for three epochs, and returns the losses and the end."""

    def run(work, precision, deterministic, start=None):
        wrapper = dict(WRAPPERS[precision], clip_grad=dict(max_norm=0.01))
        runner = make_runner(
            f'{support.EMA}\noptim_wrapper.update({wrapper!r})',
            work=work,
            base='distilled',
            randomness=dict(seed=0, deterministic=deterministic),
            resume=start is not None,
            load_from=start and str(tmp_path / start),
            **{'train_cfg.max_epochs': 3},
        )
        runner.train()
        assert next(runner.model.parameters()).device.type == device.type
        saved = torch.load(tmp_path / work / 'epoch_3.pth', weights_only=True)
        losses = runner.message_hub.log_scalars['train/loss'].data[0]
        return losses, {k: saved[k] for k in ('state_dict', 'ema_state_dict', 'optimizer')}

    return run


@pytest.mark.parametrize('precision', WRAPPERS)
def test_deterministic_runs_are_equal(train, precision):
    losses, end = train('whole', precision, deterministic=True)
    resumed_losses, resumed = train('resumed', precision, True, 'whole/epoch_1.pth')
    assert len(losses) == 9
    assert list(resumed_losses) == list(losses)
    assert support.equal(resumed, end)
    assert end['optimizer']['state'], 'no step was taken'
    if precision == 'float16':
        assert end['optimizer']['loss_scaler']['scale'] < 2.0**19


def test_other_runs_have_close_losses(train):
    losses, _ = train('whole', 'bfloat16', deterministic=False)
    resumed, _ = train('resumed', 'bfloat16', False, 'whole/epoch_1.pth')
    assert list(resumed) == pytest.approx(list(losses), rel=1e-3)


def test_a_killed_run_resumes(run_tool, write_config, tmp_path):
    """SIGKILL in the middle of the second epoch, in a process of its own."""

    def train(work, *options, hook=''):
        text = f'{support.EMA}\n{hook}\ntrain_cfg["max_epochs"] = 2\n'
        config = write_config(text, f'{work}{len(options)}.py', base='distilled')
        options += ('--cfg-options', 'randomness.deterministic=True')
        return run_tool('train.py', config, '--work-dir', tmp_path / work, *options)

    code, output = train('whole')
    assert code == 0, output
    code, output = train('killed', hook='custom_hooks.append(dict(type="KillAtIteration", at=4))')
    assert code == -9, output
    code, output = train('killed', '--resume')
    assert code == 0, output
    whole, resumed = (
        torch.load(tmp_path / work / 'epoch_2.pth', weights_only=True)
        for work in ('whole', 'killed')
    )
    for part in ('state_dict', 'ema_state_dict', 'optimizer'):
        assert support.equal(resumed[part], whole[part]), part
