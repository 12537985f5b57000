import json
import os
import tempfile

import cv2
import pytest
from support import load_tool


@pytest.fixture
def tool(monkeypatch, tmp_path):
    """The tool with small settings."""
    threads = cv2.getNumThreads()
    tool = load_tool('benchmark/data_loading.py')
    small = dict(SIZE=(96, 128), PAIRS=8, SAMPLES=3, ROUNDS=2)
    for name, value in small.items():
        monkeypatch.setattr(tool, name, value)
    for pipeline in (tool.READ, tool.TRAIN):
        monkeypatch.setitem(pipeline[1], 'gt_patch_size', 32)
    (tmp_path / 'temporary').mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'temporary'))
    yield tool
    cv2.setNumThreads(threads)


@pytest.mark.parametrize(
    ('needed', 'expected'),
    [(5, (1, True)), (10, (1, True)), (11, (2, True)), (18, (2, True)), (19, (3, False))],
)
def test_workers_for_a_speed(tool, needed, expected):
    assert tool.workers_for(needed, {2: 18.0, 1: 10.0}) == expected


@pytest.mark.slow
def test_pack_and_decoding(tool, tmp_path, capsys):
    path = tmp_path / 'results.json'
    tool.main(['--workers', '1', '--needed', '1', '--json', str(path)])
    results = json.loads(path.read_text())['results']
    assert results['crops']['ratio']['median'] > 1
    assert results['crops']['pack']['median'] > results['crops']['decoding']['median'] > 0
    assert [(row['method'], row['workers']) for row in results['loader']] == [
        ('decoding', 1),
        ('pack', 1),
        ('pack, MMagic', 1),
    ]
    assert all(row['samples_per_second']['median'] > 1 for row in results['loader'])
    assert all(row['private_mib'] > 1 for row in results['loader'])
    for key in ('worker_ms', 'main_ms'):
        assert all(row[key]['median'] > 0 for row in results['loader'])
    assert results['needed']['decoding'] == {'workers': 1, 'measured': True}
    output = capsys.readouterr().out
    assert 'A training step of 1 images/s needs:\n  decoding: num_workers=1 (measured)' in output
    assert not os.listdir(tmp_path / 'temporary')


def test_a_speed_of_zero(tool, capsys):
    with pytest.raises(SystemExit):
        tool.parse_args(['--needed', '0'])
    assert 'argument --needed: 0 is not a finite number greater than 0' in capsys.readouterr().err
