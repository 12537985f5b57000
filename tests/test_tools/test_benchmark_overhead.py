import json
import sys

import pytest
import torch
from support import load_tool
from training_step import build_training, loader_batch

from mmspd.errors import UserError
from mmspd.models.layers.training_only import TrainingOnly


@pytest.fixture(scope='module')
def tool():
    return load_tool('benchmark/overhead.py')


def test_every_restorer_has_a_plain_and_a_guided_config(tool):
    for name in tool.RESTORERS:
        twins = tool.find_config_pair(name, tool.CONFIGS / 'spd')
        assert twins.name == name
    assert set(tool.PAPER_SECONDS) < set(tool.RESTORERS)


def test_teachers(tool):
    path = tool.CONFIGS / 'spd' / 'unet_sp_gopro.py'
    assert tool.read_twin(path, 'config').model.teacher.channels == (76, 152, 1216)
    assert 'teacher' not in tool.read_twin(path, 'none').model
    assert 'prior_loss' not in tool.read_twin(path, 'none').model
    light = tool.read_twin(path, 'efficientnet_lite0').model
    assert light.teacher.channels == (24, 40, 112)
    assert light.teacher.weights == light.losses.loss_vgg.weights == 'random'
    plain = tool.read_twin(tool.CONFIGS / 'spd' / 'unet_gopro.py', 'efficientnet_lite0')
    assert 'teacher' not in plain.model


def test_paper_and_sizes_as_ratios(tool):
    assert tool.compare_sizes(*tool.PAPER_SECONDS['mprnet-s1'])['ratio'] == pytest.approx(
        3.387, abs=1e-3
    )
    found = tool.compare(plain=[1.0, 2.0, 4.0], guided=[1.5, 3.0, 4.0])
    assert found['ratio'] == dict(median=1.5, low=1.25, high=1.5)
    assert found['plain']['median'] == 2


def test_what_training_holds_between_steps(tool):
    config = tool.read_twin(tool.CONFIGS / 'spd' / 'unet_sp_gopro.py', 'efficientnet_lite0')
    config.model.generator.restorer.update(base=4, num_res=1)
    model, wrapper = build_training(config, torch.device('cpu'))
    model.train_step(loader_batch(1, 32), wrapper)
    trained = sum(weight.numel() for weight in model.parameters())
    teacher = sum(
        tensor.numel() * tensor.element_size()
        for module in model.modules()
        for holder in vars(module).values()
        if isinstance(holder, TrainingOnly)
        for tensor in [
            *holder.get(torch.device('cpu')).parameters(),
            *holder.get(torch.device('cpu')).buffers(),
        ]
    )
    # weights and two averages of Adam; gradients are gone between steps
    expected = 3 * 4 * trained + teacher
    assert tool.held_bytes(model, wrapper) == pytest.approx(expected, rel=0.01)


def test_shared_memory_counts_once(tool):
    tensor = torch.zeros(8)
    assert tool.bytes_of(tensor, tensor, torch.zeros(2)) == 40


def test_a_run(tool, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['overhead.py'])
    read = tool.read_twin

    def small(path, teacher):
        config = read(path, teacher)
        generator = config.model.generator
        generator.get('restorer', generator).update(base=4, num_res=1)
        return config

    monkeypatch.setattr(tool, 'read_twin', small)
    out = tmp_path / 'o.json'
    sizes = ['--size', '32', '48', '--crop', '32', '--rounds', '1']
    tool.main(['mimounet', *sizes, '--teacher', 'none', '--json', str(out)])
    record = json.loads(out.read_text())
    (found,) = record['found']
    assert record['machine']['device'] == 'cpu'
    assert found['restorer'] == 'mimounet'
    assert found['paper']['ratio'] == pytest.approx(2.263, abs=1e-3)
    for key in ('macs', 'parameters'):
        assert found[key]['ratio'] == found[key]['guided'] / found[key]['plain'] > 1
    for part in (*found['forward'].values(), found['step']):
        seconds = part['seconds']
        ratio = seconds['guided']['median'] / seconds['plain']['median']
        assert seconds['ratio']['median'] == pytest.approx(ratio)
        assert part['memory']['guided'] > part['memory']['plain'] > 0
    assert set(found['forward']) == {'contiguous', 'channels_last'}
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith('|')]
    assert len(table) == 3
    assert table[2].split()[1] == 'mimounet'
    assert ' 2.26 ' in table[2]


def test_a_restorer_that_does_not_exist(tool):
    with pytest.raises(UserError, match='does not exist'):
        tool.main(['unett'])
