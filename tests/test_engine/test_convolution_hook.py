"""cuDNN's settings in each phase of a run; without CUDA, the settings have no effect."""

from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from torch.backends import cudnn

from mmspd.engine import convolution_hook
from mmspd.registry import HOOKS

LONG = 10_000
LINES = []


@pytest.fixture(autouse=True)
def default_settings(monkeypatch):
    for name, value in (('benchmark', False), ('allow_tf32', True), ('deterministic', False)):
        monkeypatch.setattr(cudnn, name, value)


def settings():
    return cudnn.benchmark, cudnn.allow_tf32


def crop(size):
    return dict(type='mmagic.PairedRandomCrop', gt_patch_size=size)


def run_of(*steps, stated=None, iters=LONG, done=0):
    """A runner at the start of its training on CUDA."""
    dataset = dict(type='RepeatDataset', dataset=dict(pipeline=[dict(type='Load'), *steps]))
    config = dict(train_dataloader=dict(dataset=dataset), env_cfg=dict(cudnn_benchmark=stated))
    return SimpleNamespace(
        cfg=Config(config),
        model=SimpleNamespace(parameters=lambda: iter([SimpleNamespace(is_cuda=True)])),
        max_iters=iters,
        iter=done,
        logger=SimpleNamespace(info=LINES.append),
    )


@pytest.mark.parametrize(
    ('run', 'tunes'),
    [
        (run_of(crop(256)), True),
        (run_of(crop(256), crop(256)), True),
        (run_of(crop(256), iters=LONG - 1), False),
        (run_of(crop(256), iters=LONG + 5, done=6), False),
        (run_of(crop(256), crop(128)), False),
        (run_of(crop([128, 256])), False),  # a progressive crop
        (run_of(crop(0)), False),  # whole images
        (run_of(), False),
        (run_of(crop(256), stated=False), False),
        (run_of(stated=True, iters=1), True),
    ],
)
def test_cudnn_tunes_long_runs_with_one_size(run, tunes):
    HOOKS.build(dict(type='mmspd.ConvolutionHook')).before_train(run)
    assert settings() == (tunes, True)
    assert LINES[-1] == (
        f'cuDNN {"tunes" if tunes else "does not tune"} the convolutions of training steps '
        '(env_cfg.cudnn_benchmark). In float32, they use TF32 (default_hooks.convolutions.tf32).'
    )


def test_deterministic_runs_are_not_tuned(monkeypatch):
    monkeypatch.setattr(cudnn, 'deterministic', True)
    HOOKS.build(dict(type='mmspd.ConvolutionHook')).before_train(run_of(crop(256)))
    assert settings() == (False, True)


class RecordSettings(Hook):
    """Records the settings of cuDNN in each phase."""

    def __init__(self):
        self.seen = {}

    def after_train_iter(self, runner, *_, **__):
        self.seen['training'] = settings()

    def after_val_iter(self, runner, *_, **__):
        self.seen['validation'] = settings()

    def after_test_iter(self, runner, *_, **__):
        self.seen['test'] = settings()


@pytest.mark.slow
@pytest.mark.parametrize(
    ('options', 'training', 'evaluation'),
    [({}, (True, True), (False, False)),
     ({'default_hooks.convolutions.tf32': False, 'env_cfg.cudnn_benchmark': True},
      (True, False), (True, False))],
)  # fmt: skip
def test_validation_and_tests_have_settings_of_their_own(
    make_runner, monkeypatch, options, training, evaluation
):
    monkeypatch.setattr(convolution_hook, '_MIN_ITERS', 3)
    runner, recorder = make_runner(**{'train_cfg.max_epochs': 1, **options}), RecordSettings()
    before = settings()
    runner.register_hook(recorder)
    runner.train()
    runner.test()
    assert recorder.seen == dict(training=training, validation=evaluation, test=evaluation)
    assert settings() == before
