"""Options that change at resume are applied exactly, or refused by name."""

import copy
import logging
from pathlib import Path

import pytest
import support
import torch

from mmspd.engine import ResumeCheckHook, resume_check_hook
from mmspd.errors import UserError

NO_VALIDATION = {'train_cfg.val_interval': 100}


class Sentences(logging.Handler):
    """Collects the sentences of a log."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


@pytest.fixture
def train(make_runner):
    """Return a function that trains and returns the runner and the sentences of its log."""

    def train(extra='', work='work', base='tiny', resume=None, **changes):
        changes = {**NO_VALIDATION, **changes}
        if resume is not None:
            changes.update(resume=True, load_from=str(resume))
        runner = make_runner(extra, work, base, **changes)
        sentences = Sentences()
        runner.logger.addHandler(sentences)
        runner.train()
        return runner, sentences.texts

    return train


def rates(runner):
    """The learning rate of every iteration, also of those before a resume."""
    return runner.message_hub.get_scalar('train/lr')._log_history.tolist()


def groups(runner):
    """The arguments of the optimizer, without the parameters."""
    return [
        {key: value for key, value in group.items() if key != 'params'}
        for group in runner.optim_wrapper.param_groups
    ]


COSINE = "param_scheduler = dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True)\n"
MIXED = """
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=4, by_epoch=False),
    dict(type='StepLR', step_size=2, gamma=0.5, by_epoch=True),
]
"""
GROUPS = """
optim_wrapper['optimizer']['weight_decay'] = 0.01
optim_wrapper['paramwise_cfg'] = dict(bias_lr_mult=0.1, bias_decay_mult=0.0)
"""
ITERATIONS = """
train_cfg = dict(by_epoch=False, max_iters=6)
train_dataloader['sampler'] = dict(type='InfiniteSampler')
default_hooks['checkpoint'] = dict(by_epoch=False, interval=6, save_best=None)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ('config', 'changes'),
    [
        ('', {'train_cfg.max_epochs': 4}),
        (MIXED + support.EMA, {'train_cfg.max_epochs': 4, 'optim_wrapper.optimizer.lr': 1e-3}),
        (
            COSINE + GROUPS,
            {'train_cfg.max_epochs': 4, 'optim_wrapper.optimizer.weight_decay': 0.1,
             'optim_wrapper.optimizer.betas': (0.8, 0.9),
             'optim_wrapper.paramwise_cfg.bias_lr_mult': 0.5},
        ),
        (ITERATIONS, {'train_cfg.max_iters': 12}),
    ],
    ids=['iterations', 'mixed', 'groups', 'iteration-based'],
)  # fmt: skip
def test_rates_are_those_of_a_run_with_the_new_config(train, config, changes):
    whole, _ = train(config, 'whole', **changes)
    first, _ = train(config, 'part')
    saved = Path(first.work_dir, 'last_checkpoint').read_text()
    part, texts = train(config, 'part', resume=saved, experiment_name='again', **changes)
    assert len(rates(whole)) == len(rates(part)) == 12
    assert rates(part)[:6] == rates(first) != rates(whole)[:6]
    assert rates(part)[6:] == rates(whole)[6:]
    assert groups(part) == groups(whole)
    for key in changes:
        assert sum(f'The resumed run changes {key} from' in text for text in texts) == 1


@pytest.fixture(scope='module')
def saved_once():
    """The paths of checkpoints by config; the first test that needs one trains it."""
    return {}


@pytest.fixture
def saved(saved_once, train):
    """Return a function that returns the checkpoint of one epoch of a config."""

    def saved(extra='', base='tiny'):
        if (extra, base) not in saved_once:
            runner, _ = train(extra, 'saved', base, **{'train_cfg.max_epochs': 1})
            saved_once[extra, base] = f'{runner.work_dir}/epoch_1.pth'
        return saved_once[extra, base]

    return saved


def refusal(named, file):
    return (
        f'A resumed run cannot change {named}; resume with the options of the first command, or '
        'start a new run from the weights with --work-dir NEW --cfg-options '
        f'load_from={file}.'
    )


#: Changes of the config, and the part of the message that names them.
REFUSED = [
    ({'train_dataloader.batch_size': 3}, 'train_dataloader.batch_size from 2 to 3'),
    (
        {'train_dataloader.sampler.shuffle': False, 'train_dataloader.drop_last': True},
        'train_dataloader.drop_last from None to True, '
        'train_dataloader.sampler.shuffle from True to False',
    ),
    ({'train_cfg.by_epoch': False}, 'train_cfg.by_epoch from True to False'),
    (
        {'optim_wrapper.optimizer.type': 'SGD'},
        "optim_wrapper.optimizer.type from 'Adam' to 'SGD'",
    ),
    (
        {'optim_wrapper.type': 'mmspd.OptimWrapper', 'optim_wrapper.dtype': 'bfloat16'},
        "optim_wrapper.type from 'OptimWrapper' to 'mmspd.OptimWrapper'",
    ),
    ({'optim_wrapper.dtype': 'bfloat16'}, "optim_wrapper.dtype from None to 'bfloat16'"),
    (
        {'optim_wrapper.accumulative_counts': 2, 'optim_wrapper.optimizer.amsgrad': True},
        'optim_wrapper.accumulative_counts from None to 2, '
        'optim_wrapper.optimizer.amsgrad from None to True',
    ),
    (
        {'optim_wrapper.optimizer.momentum': 0.9},
        'optim_wrapper.optimizer.momentum from None to 0.9',
    ),
    (
        {'model.generator.base': 8, 'model.generator.dropout': 0.1},
        'model.generator.base from 4 to 8, model.generator.dropout from 0.3 to 0.1',
    ),
    (
        {'model.data_preprocessor': dict(type='mmagic.DataPreprocessor')},
        "model.data_preprocessor from None to {'type': 'mmagic.DataPreprocessor'}",
    ),
    ({'randomness.diff_rank_seed': True}, 'randomness.diff_rank_seed from None to True'),
]


@pytest.mark.slow
def test_changes_that_do_not_fit_are_refused(make_runner, saved):
    file = saved()
    runner = make_runner(
        resume=True, load_from=file, **NO_VALIDATION, **{'train_cfg.max_epochs': 1}
    )
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, ResumeCheckHook))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    before = runner.cfg
    for changes, named in REFUSED:
        runner.cfg = copy.deepcopy(before)
        runner.cfg.merge_from_dict(changes)
        with pytest.raises(UserError) as error:
            hook.after_load_checkpoint(runner, torch.load(file))
        assert str(error.value) == refusal(named, file)


@pytest.mark.parametrize(
    ('extra', 'named'),
    [
        (
            "train_dataloader['dataset']['indices'] = 4\n",
            'the number of training images from 6 to 4, '
            'train_dataloader.dataset.indices from None to 4',
        ),
        ('randomness = dict(seed=1)\n', 'randomness.seed from 0 to 1'),
        (support.EMA, 'the averaging of weights (EMAHook) from False to True'),
        (
            "param_scheduler = dict(type='ReduceOnPlateauLR', monitor='PSNR')\n",
            "param_scheduler.type from 'CosineAnnealingLR' to 'ReduceOnPlateauLR'",
        ),
        (
            "optim_wrapper['paramwise_cfg'] = dict(bias_lr_mult=0.1)\n",
            "optim_wrapper.paramwise_cfg from None to {'bias_lr_mult': 0.1}",
        ),
    ],
    ids=['images', 'seed', 'EMA', 'validation', 'groups'],
)
def test_runs_of_another_kind_are_refused(train, saved, extra, named):
    file = saved()
    with pytest.raises(UserError) as error:
        train(extra, resume=file, **{'train_cfg.max_epochs': 1})
    assert str(error.value) == refusal(named, file)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('changes', 'logged'),
    [
        ({}, []),
        (
            {'train_dataloader.num_workers': 1, 'train_cfg.val_interval': 50, 'log_level': 'ERROR',
             'val_dataloader.batch_size': 2, 'default_hooks.logger.interval': 7,
             'model.generator.with_cp': True, 'optim_wrapper.optimizer.lr': 2e-3},
            [],
        ),
        (
            {'model.losses.loss_freq.loss_weight': 0.3,
             'optim_wrapper.clip_grad': dict(max_norm=1), 'optim_wrapper.accumulative_counts': 3,
             'train_dataloader.dataset.pipeline.1.gt_patch_size': 24},
            ['model.losses.loss_freq.loss_weight from 0.1 to 0.3',
             'optim_wrapper.accumulative_counts from None to 3',
             "optim_wrapper.clip_grad from None to {'max_norm': 1}",
             'train_dataloader.dataset.pipeline.1.gt_patch_size from 16 to 24'],
        ),
    ],
    ids=['nothing', 'free', 'applied'],
)  # fmt: skip
def test_changes_without_a_state_are_logged_and_applied(train, saved, changes, logged):
    """The learning rate is not computed again. The run has no epoch left to train."""
    file = saved()
    runner, texts = train(resume=file, **{'train_cfg.max_epochs': 1, **changes})
    lines = [text for text in texts if 'The resumed run changes' in text]
    assert lines == [f'The resumed run changes {text}.' for text in logged]
    assert not any('learning rate continues' in text for text in texts)
    assert runner.epoch == 1


def test_another_number_of_processes_is_refused(make_runner, saved, monkeypatch):
    file = saved()
    monkeypatch.setattr(resume_check_hook, 'get_world_size', lambda: 2)
    with pytest.raises(UserError, match='cannot change the number of processes from 1 to 2;'):
        make_runner(resume=True, load_from=file).train()


def test_checkpoints_without_a_valid_record_are_not_compared(make_runner, tmp_path):
    """The text of a config in a checkpoint is never executed."""
    runner, executed = make_runner(resume=True), tmp_path / 'executed'
    hook = next(hook for hook in runner.hooks if isinstance(hook, ResumeCheckHook))
    sentences = Sentences()
    runner.logger.addHandler(sentences)
    code = f"open({str(executed)!r}, 'w')"
    records = ['{', '[]', '{"config": 1, "sizes": {}}', '[' * 100_000, None, 5]
    for number, record in enumerate(records):
        runner._load_from = f'file{number}.pth'
        meta = dict(run_record=record, config=code, cfg=code, epoch=1, iter=3)
        hook.after_load_checkpoint(runner, dict(meta=meta))
        assert 'config' not in meta
        assert sentences.texts[-1] == (
            f'file{number}.pth has no record of the options of its run, so changed options are not '
            'checked.'
        )
    assert not executed.exists()


@pytest.mark.slow
def test_a_schedule_that_keeps_its_old_end_is_reported(train, saved):
    config = "param_scheduler = dict(type='CosineAnnealingLR', T_max=1)\n"
    _, texts = train(config, resume=saved(config), **{'train_cfg.max_epochs': 2})
    assert (
        'train_cfg.max_epochs is now 2, but param_scheduler.T_max=1 still ends a schedule at 1; '
        'change this key too.'
    ) in texts
