import json

import numpy as np
import pytest
import torch

from mmspd.apis import DeblurInferencer

CPU = torch.device('cpu')


@pytest.fixture
def tool(small_benchmark):
    return small_benchmark('inference')


@pytest.fixture
def variants(tool):
    args = tool.parse_args([])
    return tool.build_variants(tool.find_config_pair('mimounet'), args, CPU)


@pytest.mark.slow
def test_a_run(tool, tmp_path, capsys):
    path = tmp_path / 'i.json'
    sizes = ['--sizes', '32x48', '40x40', '--rounds', '2']
    tool.main(['mimounet', *sizes, '--precision', 'float32', 'bfloat16', '--json', str(path)])
    rows = json.loads(path.read_text())['results']
    assert [(row['size'], row['network'], row['name']) for row in rows] == [
        (size, network, name)
        for size in ([32, 48], [40, 40])
        for network in ('plain', 'guided')
        for name in ('reference', 'float32', 'bfloat16')
    ]
    for row in rows:
        assert row['restorer'] == 'mimounet'
        assert row['macs'] > 0
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


@pytest.mark.slow
def test_the_prior_has_an_effect_and_both_restorers_share_weights(tool, variants):
    plain, guided = (variants[network, tool.REFERENCE] for network in ('plain', 'guided'))
    weights, shared = plain.args[0].state_dict(), guided.args[0].restorer.state_dict()
    assert all(torch.equal(weights[key], shared[key]) for key in {*weights, *shared})
    photo = tool.make_photo(32, 32)
    assert not np.array_equal(plain(photo), guided(photo))


@pytest.mark.slow
def test_a_wrong_output_fails(tool, monkeypatch):
    monkeypatch.setattr(DeblurInferencer, 'deblur', lambda self, pixels, options: pixels[::-1])
    arguments = ['mimounet', '--sizes', '32x32', '--rounds', '1', '--precision', 'float32']
    with pytest.raises(RuntimeError, match='plain, float32 differs from the reference by'):
        tool.main(arguments)


@pytest.mark.slow
def test_an_output_without_the_prior_fails(tool, variants):
    variants[tool.Variant('guided', 'float32')] = variants['plain', 'float32']
    rows = tool.measure(variants, (32, 32), 1, CPU)
    errors = {(row['network'], row['name']): row['error'] for row in rows}
    assert errors['guided', 'float32'] > tool.LARGEST_ERROR
    assert errors['guided', 'bfloat16'] < tool.LARGEST_ERROR / 2
    assert errors['plain', 'float32'] < 0.01


def test_an_output_is_compared_with_the_reference(tool):
    photo, image = np.full((2, 4, 4, 3), 100, np.uint8)
    image = image + np.uint8(20)
    equal = tool.compare_outputs(photo, image, image)
    assert equal == dict(psnr=None, largest_difference=0, error=0)
    result = tool.compare_outputs(photo, image - 10, image)
    assert result['psnr'] == pytest.approx(20 * np.log10(25.5))
    assert result['largest_difference'] == 10
    assert result['error'] == pytest.approx(0.5)


@pytest.mark.parametrize('size', ['256', '0x20', 'axb', '20x-3'])
def test_a_wrong_size_is_refused(tool, capsys, size):
    with pytest.raises(SystemExit):
        tool.main(['--sizes', size])
    assert f"'{size}' is not a size; write HEIGHTxWIDTH, such as 720" in capsys.readouterr().err
