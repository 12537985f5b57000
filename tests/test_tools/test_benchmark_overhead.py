import json

import pytest

from mmspd.evaluation.paper_tables import paper_seconds


@pytest.fixture
def tool(small_benchmark):
    return small_benchmark('overhead')


def test_teachers(tool):
    path = tool.CONFIGS / 'spd' / 'unet_sp_gopro.py'
    assert tool.read_random_config(path, 'config').model.teacher.channels == (76, 152, 1216)
    assert {'teacher', 'prior_loss'}.isdisjoint(tool.read_random_config(path, 'none').model)
    light = tool.read_random_config(path, 'efficientnet_lite0').model
    assert light.teacher.channels == (24, 40, 112)
    assert light.teacher.weights == light.losses.loss_vgg.weights == 'random'
    plain = tool.read_random_config(tool.CONFIGS / 'spd' / 'unet_gopro.py', 'efficientnet_lite0')
    assert 'teacher' not in plain.model


@pytest.mark.slow
def test_a_run(tool, tmp_path, capsys):
    path = tmp_path / 'o.json'
    sizes = ['--size', '32', '48', '--crop', '32', '--rounds', '1']
    tool.main(['mimounet', *sizes, '--teacher', 'none', '--json', str(path)])
    (row,) = json.loads(path.read_text())['results']
    assert row['restorer'] == 'mimounet'
    assert row['paper'] == tool.compare_sizes(*paper_seconds('mimounet'))
    for key in ('macs', 'parameters'):
        assert row[key]['ratio'] == row[key]['guided'] / row[key]['plain'] > 1
    for part in (*row['forward'].values(), row['step']):
        seconds = part['seconds']
        ratio = seconds['guided']['median'] / seconds['plain']['median']
        assert seconds['ratio']['median'] == pytest.approx(ratio)
        assert part['memory']['guided'] > part['memory']['plain'] > 0
    assert set(row['forward']) == {'contiguous', 'channels_last'}
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith('|')]
    assert len(table) == 3
    assert table[2].split()[1] == 'mimounet'
    assert f' {row["paper"]["ratio"]:.2f} ' in table[2]
