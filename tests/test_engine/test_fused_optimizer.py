"""Optimizers are fused by default."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmspd.engine import fused_optimizer


def optimizer_of(type='Adam', kind='mmspd.OptimWrapper', paramwise=None, **optimizer):
    cfg = dict(type=kind, optimizer=dict(type=type, lr=0.1, **optimizer), paramwise_cfg=paramwise)
    if kind == 'mmspd.AmpOptimWrapper':
        cfg['loss_scale'] = dict(enabled=False)
    return build_optim_wrapper(nn.Linear(2, 2), cfg).optimizer


def values(optimizer):
    return [{k: v for k, v in group.items() if k != 'params'} for group in optimizer.param_groups]


@pytest.mark.parametrize(
    'settings',
    [
        dict(type='Adam', amsgrad=True, eps=1e-6),
        dict(type='AdamW', betas=(0.8, 0.9), weight_decay=0.1),
        dict(type='SGD', momentum=0.9, nesterov=True),
        dict(type='AdamW', weight_decay=0.1, paramwise=dict(bias_lr_mult=0.5, bias_decay_mult=0.0)),
    ],
)
def test_all_other_arguments_are_kept(settings):
    fused, plain = optimizer_of(**settings), optimizer_of(**settings, fused=False)
    assert type(fused) is type(plain)
    assert fused.defaults == {**plain.defaults, 'fused': True}
    assert values(fused) == [{**group, 'fused': True} for group in values(plain)]
    assert [group['fused'] for group in values(plain)] == [False] * len(plain.param_groups)
    assert fused._step_supports_amp_scaling


def test_float16_is_fused_too(monkeypatch):
    monkeypatch.setattr(
        'mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available', lambda: True
    )
    assert optimizer_of(kind='mmspd.AmpOptimWrapper').defaults['fused']


@pytest.mark.parametrize(
    'settings',
    [
        dict(fused=False),
        dict(foreach=True),
        dict(foreach=False),
        dict(differentiable=True),
        dict(type='Adagrad'),  # is not fused on CUDA
        dict(type='RMSprop'),
    ],
)
def test_a_stated_implementation_and_other_optimizers_are_kept(settings):
    defaults = optimizer_of(**settings).defaults
    assert defaults.get('fused') is settings.get('fused')
    assert defaults['foreach'] is settings.get('foreach')


RUN = """
optim_wrapper = dict(type='mmspd.OptimWrapper', optimizer={optimizer!r})
param_scheduler = dict(type='ReduceOnPlateauLR', monitor='PSNR')
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ('optimizer', 'fused'),
    [(dict(type='Adam', lr=2e-3), [True, None]), (dict(type='Adam', lr=2e-3), [None, True]),
     (dict(type='SGD', lr=0.01, momentum=0.9), [True, None])],
)  # fmt: skip
def test_a_resumed_run_takes_the_implementation_of_its_device(
    make_runner, tmp_path, monkeypatch, optimizer, fused
):
    """The learning rate of this run cannot be computed again."""
    resumed = dict(resume=True, load_from=str(tmp_path / 'first' / 'epoch_1.pth'))
    weights = []
    for work, expected, changes in zip(('first', 'second'), fused, ({}, resumed)):
        monkeypatch.setattr(fused_optimizer, '_has_kernels', lambda _, x=expected: bool(x))
        runner = make_runner(RUN.format(optimizer=optimizer), work, **changes)
        runner.train()
        assert values(runner.optim_wrapper.optimizer)[0]['fused'] is expected
        weights.append(runner.model.state_dict())
    start = torch.load(resumed['load_from'])['state_dict']
    assert not all(torch.equal(start[key], weight) for key, weight in weights[1].items())
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-5)


def test_the_steps_of_a_fused_optimizer_agree_with_the_plain_ones():
    results = []
    for fused in (None, False):
        torch.manual_seed(0)
        layer = nn.Linear(2, 2)
        optimizer = dict(type='Adam', lr=0.1, fused=fused)
        cfg = dict(type='mmspd.OptimWrapper', optimizer=optimizer)
        wrapper = build_optim_wrapper(layer, cfg)
        for number in range(3):
            wrapper.update_params(layer(torch.full((1, 2), number + 1.0)).square().sum())
        results.append(torch.cat([p.detach().flatten() for p in layer.parameters()]))
    torch.testing.assert_close(*results)
