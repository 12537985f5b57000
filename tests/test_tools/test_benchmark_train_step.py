"""The benchmark of the training step: its reference, its checks and what it writes."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from mmspd.errors import UserError
from mmspd.registry import build_model

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'benchmark' / 'train_step.py'

DISTILLED = """
model['generator']['restorer']['dropout'] = 0.0
model['teacher'] = dict(
    type='mmspd.FeatureTeacher', channels=(64, 128, 256), weights='missing.pth',
    backbone=dict(type='mmpretrain.ResNet', depth=18, out_indices=(0, 1, 2)))
model['prior_loss'] = dict(type='mmspd.PriorDistillationLoss', loss_weight=0.1)
model['losses']['loss_edge'] = dict(type='mmspd.EdgeLoss')
"""
TINY = ['--batch', '1', '--crop', '32', '--rounds', '1']


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('benchmark_train_step', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_reference_agrees_and_all_is_written(tool, write_config, tmp_path, capsys):
    found = tmp_path / 'found.json'
    variants = ['float32', 'bfloat16', 'half_teacher']
    config = write_config(DISTILLED, base='guided')
    tool.main([config, *TINY, '--variants', *variants, '--json', str(found)])
    out = capsys.readouterr().out
    assert 'times as fast' in out
    record = json.loads(found.read_text())
    assert record['machine']['device'] == 'cpu'
    figures = record['found']['variants']
    assert list(figures) == ['reference', *variants]
    assert 1e-5 < figures['bfloat16']['losses off'] < 0.2
    assert figures['half_teacher']['held MiB'] < 0.9 * figures['float32']['held MiB']
    variant = figures['float32']
    assert variant['losses off'] < 1e-4
    assert variant['images/s'] > 0
    parts = variant['parts ms']
    assert list(parts) == [*tool.PARTS, 'rest']
    for part in ('teacher', 'prior', 'restorer', 'losses', 'backward', 'optimizer'):
        assert parts[part] > 0, part
    assert -1 < parts['rest'] < parts['backward']


def test_a_compiled_generator_is_timed_as_one(tool, write_config, monkeypatch, capsys):
    monkeypatch.setitem(tool.VARIANTS, 'compile', {'model.compile': dict(backend='eager')})
    tool.main([write_config(), *TINY, '--variants', 'compile'])
    names, _, row = capsys.readouterr().out.splitlines()[-3:]
    parts = dict(zip(*([cell.strip() for cell in line.split('|')] for line in (names, row))))
    assert parts['prior'] == parts['teacher'] == '-'
    assert int(parts['restorer']) > 0


@pytest.mark.parametrize(
    'cfg',
    [
        dict(type='mmspd.FrequencyLoss', loss_weight=0.3),
        dict(type='mmspd.EdgeLoss', eps=0.1, loss_weight=0.7),
    ],
)
def test_plain_losses_equal_ours(tool, cfg):
    loss = build_model(cfg)
    one, other = torch.rand(2, 2, 3, 12, 16)
    torch.testing.assert_close(tool.plain_loss(loss)(one, other), loss(one, other))


def test_plain_hcl_equals_ours(tool):
    one, other = torch.rand(2, 2, 5, 8, 3)
    loss = build_model(dict(type='mmspd.HCLLoss', factors=(1, 2, 4)))
    torch.testing.assert_close(tool.PlainHCL((1, 2, 4))(one, other), loss(one, other))


def test_a_variant_that_computes_something_else_is_not_timed(tool):
    steps = {'reference': lambda: {'loss_pix': 1.0}, 'float32': lambda: {'loss_pix': 1.001}}
    with pytest.raises(RuntimeError, match='float32 and the reference differ'):
        tool.check_losses(steps)
    steps['float32'] = lambda: {'loss': 5.0, 'loss_pix': 1.00001}
    assert tool.check_losses(steps)['float32'] == pytest.approx(1e-5, rel=1e-3)


def test_a_trace_is_written(tool, write_config, tmp_path, capsys):
    trace = tmp_path / 'new' / 'trace.json'
    tool.main([write_config(), *TINY, '--profile', str(trace)])
    assert 'convolution_backward' in capsys.readouterr().out
    assert json.loads(trace.read_text())['traceEvents']


def test_mistakes_end_in_a_sentence(tool, write_config):
    with pytest.raises(UserError, match='--crop 0: give a number'):
        tool.main([write_config(), '--crop', '0'])
    with pytest.raises(UserError, match=r'tiny\.py has the model mmagic\.BaseEditModel'):
        tool.main([write_config("model['type'] = 'mmagic.BaseEditModel'\n"), *TINY])
    with pytest.raises(UserError, match='the device cuda:99 cannot be used here'):
        tool.main([write_config(), *TINY, '--device', 'cuda:99'])
