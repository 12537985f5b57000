import json
import re

import pytest
from torch import nn

from mmspd.apis.complexity import cost_of


@pytest.fixture
def complexity(call_tool):
    """Return a function that runs the complexity tool and returns its output."""
    return lambda *arguments: call_tool('analysis/complexity.py', *arguments)[1]


def test_complexity_prints_the_parts_and_the_cost_of_the_prior(complexity):
    output = complexity('configs/spd/mimounet_sp_gopro.py')
    table = {
        name: (int(params.replace(',', '')), float(gmac))
        for name, params, gmac in re.findall(r'^(\S+)\s+([\d,]+)\s+([\d.]+)$', output, re.M)
    }
    assert table['restorer'] == (6_807_171, 63.73)
    parts = [table[name] for name in ('restorer', 'F_S', 'CLC', 'SPE')]
    assert sum(p for p, _ in parts) == table['total'][0]
    added = float(re.search(r'The prior adds ([\d.]+) GMAC', output)[1])
    assert abs(added - (table['total'][1] - table['restorer'][1])) < 0.011
    assert 5 < added <= 7.5


def test_complexity_of_a_segmentation_prior(complexity):
    output = complexity('configs/spd/prior_type/seg-onehot.py')
    assert re.search(r'^map +2,940 ', output, re.M)  # three 1x1 convolutions from 48 to 20 channels
    assert 'CLC' not in output


def test_complexity_json_and_size(complexity):
    output = complexity('configs/spd/unet_gopro.py', '--size', '128', '64', '--json')
    small = json.loads(output[output.index('{') :])['total']
    assert small['parameters'] == 4_908_291
    assert abs(small['macs'] / 45.2775e9 - 128 * 64 / 256**2) < 0.001


def test_print_config_merges_bases_and_options(call_tool, write_config):
    option = ('--cfg-options', 'train_cfg.max_epochs=7')
    code, output, _ = call_tool('analysis/print_config.py', write_config(), *option)
    assert code == 0
    assert 'max_epochs=7' in output
    assert "type='mmspd.IterationSeedHook'" in output


def test_a_shared_parameter_counts_once():
    layer = nn.Conv2d(3, 3, 3, padding=1)
    cost = cost_of(nn.Sequential(layer, layer), height=4, width=4)
    assert cost.parameters == 3 * 3 * 9 + 3
    assert cost.macs == 2 * 3 * 3 * 9 * 16  # but computes twice
