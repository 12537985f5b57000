import json
import sys
import time

import pytest
import torch
from common import (
    CONFIGS,
    RESTORERS,
    find_config_pair,
    randomize_zero_weights,
    write_record,
)
from measure import Spread, allocated_peak, paired_ratio, summarize, time_in_turns
from mmengine.config import Config
from torch import nn
from training_step import build_training, bytes_of, held_bytes, loader_batch

from mmspd.errors import UserError
from mmspd.models.layers.training_only import TrainingOnly

SPD = CONFIGS / 'spd'
CPU = torch.device('cpu')


@pytest.mark.parametrize(
    'config', ['mprnet-s1', SPD / 'mprnet-s1_gopro.py', SPD / 'mprnet-s1_sp_gopro.py']
)
def test_a_pair_is_found_by_the_name_of_either_config(config):
    pair = find_config_pair(config)
    assert pair == ('mprnet-s1', SPD / 'mprnet-s1_gopro.py', SPD / 'mprnet-s1_sp_gopro.py')


def test_the_name_of_a_pair_includes_the_kind_of_the_prior():
    config = SPD / 'unet_sp-pretrained_gopro.py'
    assert find_config_pair(config) == ('unet_sp-pretrained', SPD / 'unet_gopro.py', config)


def test_the_restorers_are_those_with_a_pair_of_configs():
    assert {'unet', 'mprnet-s1', 'mimounet', 'nafnet', 'restormer'} < set(RESTORERS)
    assert [find_config_pair(name).name for name in RESTORERS] == list(RESTORERS)


def test_a_config_without_a_counterpart(tmp_path):
    (tmp_path / 'mine_gopro.py').write_text('')
    with pytest.raises(UserError, match='mine_sp_gopro.py, the counterpart of .*mine_gopro.py, do'):
        find_config_pair(tmp_path / 'mine_gopro.py')
    with pytest.raises(UserError, match='does not exist; check .*mimounet_gopro.py'):
        find_config_pair('mimonet')


def test_only_weights_of_zero_are_changed():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 3))
    nn.init.zeros_(net[1].weight)
    nn.init.zeros_(net[1].bias)
    before = net[0].weight.clone()
    randomize_zero_weights(net)
    assert torch.equal(net[0].weight, before)
    assert 0.05 < net[1].weight.std() < 0.2
    assert net[1].bias.item() == 0


def test_record_names_command_time_and_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tool.py'])
    path = tmp_path / 'new' / 'a.json'
    write_record(path, CPU, [dict(ms=Spread(2, 1, 3))], ['--rounds', '1'])
    record = json.loads(path.read_text())
    assert record['results'] == [{'ms': dict(median=2, low=1, high=3)}]
    assert record['command'] == 'python tool.py --rounds 1'
    assert record['machine']['torch'] == torch.__version__
    assert record['date'].startswith('20')


def test_summary():
    assert summarize([3.0]) == Spread(3.0, 3.0, 3.0)
    assert summarize([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(median=3.0, low=2.0, high=4.0)
    assert Spread(0.0031, 0.002, 0.0044).text(digits=1, factor=1e3) == '3.1 (2.0-4.4)'


def test_a_slowdown_of_the_machine_does_not_change_paired_ratios():
    quiet, slow = [1.0, 1.0, 1.0], [10.0, 10.0, 10.0]
    assert paired_ratio([2.0, *slow], [1.0, 5.0, 5.0, 5.0]).median == 2.0
    assert paired_ratio(quiet, slow) == Spread(0.1, 0.1, 0.1)


def test_functions_take_turns():
    order = []

    def nap():
        order.append('nap')
        time.sleep(0.02)

    seconds = time_in_turns({'nap': nap, 'none': lambda: order.append('none')}, CPU, 3, warm_up=1)
    assert order == ['nap', 'none'] * 4
    assert [len(values) for values in seconds.values()] == [3, 3]
    assert min(seconds['nap']) >= 0.02
    assert max(seconds['none']) < 0.02


def test_peak_counts_tensors_that_exist_at_the_same_time():
    def chain():
        first = torch.zeros(1 << 20)  # 4 MiB
        second = first + 1
        del first
        return (second + 1).sum()

    assert 8 << 20 <= allocated_peak(chain, CPU) < 8.1 * (1 << 20)


def test_peak_of_a_training_step_holds_the_activations():
    image = torch.rand(1, 8, 64, 64)

    def peak(depth):
        net = nn.Sequential(*[nn.Conv2d(8, 8, 3, padding=1) for _ in range(depth)])
        return allocated_peak(lambda: net(image).sum().backward(), CPU)

    activation = image.numel() * image.element_size()
    assert peak(8) - peak(2) == pytest.approx(6 * activation, rel=0.35)


@pytest.mark.slow
def test_memory_held_between_steps(write_config):
    config = Config.fromfile(write_config('', base='distilled'))
    model, wrapper = build_training(config, CPU)
    model.train_step(loader_batch(1, 32), wrapper)
    trained = sum(weight.numel() for weight in model.parameters())
    teacher = sum(
        tensor.numel() * tensor.element_size()
        for holder in vars(model).values()
        if isinstance(holder, TrainingOnly)
        for tensor in holder.get(CPU).state_dict().values()
    )
    assert teacher
    # weights and the two averages of Adam; gradients do not exist between steps
    assert held_bytes(model, wrapper) == pytest.approx(3 * 4 * trained + teacher, rel=0.01)


def test_shared_memory_counts_once():
    tensor = torch.zeros(8)
    assert bytes_of(tensor, tensor, torch.zeros(2)) == 40
