"""The complexity tool, print_config and the converter, as a user runs them."""

import json
import re

import torch


def test_complexity_prints_the_parts_and_the_budget_holds(run_tool):
    code, output = run_tool('analysis/complexity.py', 'configs/spd/mimounet_sp_gopro.py')
    assert code == 0, output
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


def test_complexity_tells_a_map_from_features(run_tool):
    code, output = run_tool('analysis/complexity.py', 'configs/spd/prior_type/seg-onehot.py')
    assert code == 0, output
    assert re.search(r'^map +2,940 ', output, re.M)  # three 1x1 convolutions from 48 to 20 channels
    assert 'CLC' not in output


def test_complexity_json_and_size(run_tool):
    args = ('configs/spd/unet_gopro.py', '--size', '128', '64', '--json')
    code, output = run_tool('analysis/complexity.py', *args)
    assert code == 0, output
    small = json.loads(output[output.index('{') :])['total']
    assert small['parameters'] == 4_908_291
    assert abs(small['macs'] / 45.2775e9 - 128 * 64 / 256**2) < 0.001


def test_converter(run_tool, tmp_path):
    source = {'_conv_stem.weight': torch.ones(2), '_blocks.3._bn2.bias': torch.zeros(1)}
    source['_blocks.15._bn2.bias'] = torch.zeros(1)  # Lite0 has 16 blocks
    torch.save(source, tmp_path / 'in.pth')
    out = tmp_path / 'new' / 'out.pth'
    code, output = run_tool(
        'model_converters/efficientnet_lite2timm.py', out, '--weights', tmp_path / 'in.pth'
    )
    assert code == 0, output
    names = {'conv_stem.weight', 'blocks.2.0.bn3.bias', 'blocks.6.0.bn3.bias'}
    assert set(torch.load(out, weights_only=True)) == names
    code, output = run_tool(
        'model_converters/efficientnet_lite2timm.py', out, '--weights', tmp_path / 'none.pth'
    )
    assert code == 1
    assert output.strip().splitlines()[-1].startswith('error: --weights: the file')
