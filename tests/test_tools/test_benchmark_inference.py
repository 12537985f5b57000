import json
import sys

import numpy as np
import pytest
import torch
from support import load_tool

from mmspd.apis import DeblurInferencer
from mmspd.errors import UserError


@pytest.fixture
def tool(monkeypatch):
    """The tool with tiny networks."""
    tool = load_tool('benchmark/inference.py')
    read = tool.read_config

    def small(path, options):
        config = read(path, options)
        generator = config.model.generator
        generator.get('restorer', generator).update(base=4, num_res=1)
        return config

    monkeypatch.setattr(tool, 'read_config', small)
    monkeypatch.setattr(sys, 'argv', ['inference.py'])
    return tool


def test_a_run(tool, tmp_path, capsys):
    out = tmp_path / 'i.json'
    sizes = ['--sizes', '32x48', '40x40', '--rounds', '2']
    tool.main(['mimounet', *sizes, '--precision', 'float32', 'bfloat16', '--json', str(out)])
    found = json.loads(out.read_text())['found']
    ways = ['reference', 'float32', 'bfloat16']
    assert [(row['size'], row['network'], row['name']) for row in found] == [
        (size, network, way)
        for size in ([32, 48], [40, 40])
        for network in ('plain', 'guided')
        for way in ways
    ]
    for row in found:
        assert row['restorer'] == 'mimounet'
        pixels = row['size'][0] * row['size'][1] / 1e6
        assert row['megapixels_per_second'] == pytest.approx(pixels * row['images_per_second'])
        assert row['images_per_second'] == pytest.approx(1 / row['seconds']['median'])
        assert row['peak_bytes'] > 4 * 3 * row['size'][0] * row['size'][1]
        assert (row['guided_to_plain'] is None) == (row['network'] == 'plain')
        if row['name'] == 'reference':
            assert row['speed_up']['median'] == 1
        if row['name'] != 'bfloat16':
            assert row['largest_difference'] <= 1
            assert row['error'] < 0.01
    output = capsys.readouterr().out
    assert len([line for line in output.splitlines() if line.startswith('| mimounet')]) == 12
    assert 'nan' not in output


def test_the_prior_has_an_effect_and_both_restorers_are_one(tool):
    args = tool.parse_args(['mimounet', '--precision', 'float32'])
    twins = tool.find_config_pair('mimounet', tool.CONFIGS)
    ways = tool.ways_of(twins, args, torch.device('cpu'))
    networks = {way.network: run.args[0] for way, run in ways.items() if way.name == 'reference'}
    plain = networks['plain'].state_dict()
    guided = networks['guided'].restorer.state_dict()
    assert all(np.array_equal(plain[key], guided[key]) for key in {*plain, *guided})
    photo = tool.make_photo(32, 32)
    restored = [run(photo) for way, run in ways.items() if way.name == 'reference']
    assert not np.array_equal(*restored)


def test_a_fast_path_that_is_wrong_does_not_pass(tool, monkeypatch):
    def wrong(self, pixels, options):
        return np.flip(pixels, 0)

    monkeypatch.setattr(DeblurInferencer, 'deblur', wrong)
    arguments = ['mimounet', '--sizes', '32x32', '--rounds', '1', '--precision', 'float32']
    with pytest.raises(RuntimeError, match='plain, float32 differs from that of the reference by'):
        tool.main(arguments)


def test_a_path_that_leaves_the_prior_out_does_not_pass(tool):
    ways = tool.ways_of(
        tool.find_config_pair('mimounet', tool.CONFIGS), tool.parse_args([]), torch.device('cpu')
    )
    ways[tool.Way('guided', 'float32')] = ways[tool.Way('plain', 'float32')]
    found = tool.measure(ways, (32, 32), 1, torch.device('cpu'))
    errors = {(row['network'], row['name']): row['error'] for row in found}
    assert errors['guided', 'float32'] > tool.LARGEST_ERROR
    assert errors['guided', 'bfloat16'] < tool.LARGEST_ERROR / 2
    assert errors['plain', 'float32'] < 0.01


def test_likeness(tool):
    photo, image = np.full((2, 4, 4, 3), 100, np.uint8)
    image = image + np.uint8(20)
    equal = tool.likeness(photo, image, image)
    assert equal == dict(psnr=None, largest_difference=0, error=0)
    found = tool.likeness(photo, image - 10, image)
    assert found['psnr'] == pytest.approx(20 * np.log10(25.5))
    assert found['largest_difference'] == 10
    assert found['error'] == pytest.approx(0.5)


@pytest.mark.parametrize('size', ['256', '0x20', 'axb', '20x-3'])
def test_sizes_that_are_none(tool, capsys, size):
    with pytest.raises(SystemExit):
        tool.main(['--sizes', size])
    assert f"'{size}' is no HEIGHTxWIDTH, such as 720x1280" in capsys.readouterr().err


def test_a_config_that_does_not_exist(tool):
    with pytest.raises(UserError, match=r'unett_gopro\.py does not exist'):
        tool.main(['unett'])
