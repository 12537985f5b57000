"""The benchmark of the training step: its reference, its checks and its output."""

import json

import pytest
import support
import torch
from mmengine.config import Config
from training_step import build_training, randomize_weights

from mmspd.apis.complexity import cost_of
from mmspd.errors import UserError

UNTRAINED = """
model['generator']['restorer']['dropout'] = 0.0
model['teacher']['weights'] = 'missing.pth'
"""
TINY = ['--batch', '1', '--crop', '32', '--rounds', '1']


tool = support.load_tool('benchmark/train_step.py')


def macs_of_forward(config):
    config = Config.fromfile(config)
    randomize_weights(config)
    model, _ = build_training(config, torch.device('cpu'))
    return cost_of(model.generator, 32, 32).macs


@pytest.mark.slow
def test_reference_agrees_and_all_is_written(write_config, tmp_path, capsys):
    path = tmp_path / 'results.json'
    variants = ['float32', 'bfloat16', 'half_teacher']
    config = write_config(UNTRAINED, base='distilled')
    tool.main([config, *TINY, '--variants', *variants, '--json', str(path)])
    assert 'times as fast' in capsys.readouterr().out
    record = json.loads(path.read_text())
    assert record['machine']['device'] == 'cpu'
    # the backward pass costs about twice the forward pass
    assert record['results']['macs'] > 2.5 * macs_of_forward(config)
    rows = record['results']['variants']
    assert list(rows) == ['reference', *variants]
    assert 1e-5 < rows['bfloat16']['losses off'] < 0.2
    assert rows['half_teacher']['held MiB'] < 0.9 * rows['float32']['held MiB']
    row = rows['float32']
    assert row['losses off'] < 1e-4
    assert row['images/s'] == pytest.approx(1e3 / row['ms']['median'])
    parts = row['parts ms']
    assert list(parts) == [*tool.PARTS, 'rest']
    for part in ('teacher', 'prior', 'restorer', 'losses', 'backward', 'optimizer'):
        assert parts[part] > 0, part
    assert -1 < parts['rest'] < parts['backward']


@pytest.mark.slow
def test_a_compiled_generator_is_timed_as_a_single_part(write_config, monkeypatch, capsys):
    monkeypatch.setitem(tool.VARIANTS, 'compile', {'model.compile': dict(backend='eager')})
    tool.main([write_config(), *TINY, '--variants', 'compile'])
    names, _, row = capsys.readouterr().out.splitlines()[-3:]
    parts = dict(zip(*([cell.strip() for cell in line.split('|')] for line in (names, row))))
    assert parts['prior'] == parts['teacher'] == '-'
    assert int(parts['restorer']) > 0


def test_a_variant_with_other_losses_is_not_timed():
    steps = {'reference': lambda: {'loss_pix': 1.0}, 'float32': lambda: {'loss_pix': 1.001}}
    with pytest.raises(RuntimeError, match='The losses of float32, .* differ from the reference'):
        tool.check_losses(steps)
    steps['float32'] = lambda: {'loss': 5.0, 'loss_pix': 1.00001}
    assert tool.check_losses(steps)['float32'] == pytest.approx(1e-5, rel=1e-3)
    steps['float32'] = lambda: {'loss_pix': 1.001}  # as TF32 may round it
    assert tool.check_losses(steps, tool.TOLERANCE_TF32)['float32'] == pytest.approx(1e-3)


def test_mistakes_end_in_a_sentence(write_config):
    with pytest.raises(UserError, match=r'tiny\.py has model\.type=mmagic\.BaseEditModel'):
        tool.main([write_config("model['type'] = 'mmagic.BaseEditModel'\n"), *TINY])
