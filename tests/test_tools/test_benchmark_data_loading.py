import json

import cv2
import numpy as np
import pytest
from support import load_tool

from mmspd.errors import UserError


@pytest.fixture
def tool(monkeypatch):
    """The tool with small images."""
    threads = cv2.getNumThreads()
    tool = load_tool('benchmark/data_loading.py')
    monkeypatch.setattr(tool, 'SIZE', (96, 128))
    monkeypatch.setattr(tool, 'CROP', 32)
    monkeypatch.setattr(tool, 'LOADED', {'raw': 8, 'pack': 16})
    for pipeline in (tool.READ, tool.TRAIN):
        monkeypatch.setitem(pipeline[1], 'gt_patch_size', 32)
    yield tool
    cv2.setNumThreads(threads)


@pytest.mark.parametrize(
    ('needed', 'expected'),
    [(5, (1, True)), (10, (1, True)), (11, (2, True)), (18, (2, True)), (19, (3, False))],
)
def test_workers_for_a_speed(tool, needed, expected):
    assert tool.workers_for(needed, {1: 10.0, 2: 18.0}) == expected


def test_the_fewest_that_are_enough(tool):
    assert tool.workers_for(15, {4: 30.0, 2: 18.0}) == (2, True)


def test_pack_and_decoding(tool, tmp_path, capsys):
    (tmp_path / 'photos').mkdir()
    photo = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'photos' / 'a.png'), photo)
    arguments = ['--photos', str(tmp_path / 'photos'), '--pairs', '8', '--samples', '3']
    figures = tmp_path / 'figures.json'
    arguments += ['--workers', '1', '--needed', '1', '--folder', str(tmp_path)]
    tool.main([*arguments, '--json', str(figures)])
    record = json.loads(figures.read_text())
    found = record['found']
    assert found['crops']['ratio']['median'] > 1
    assert found['crops']['pack']['median'] > found['crops']['decoding']['median'] > 0
    assert set(found['copies']) == {'crop of the pack', 'crop of memory', 'plain copy'}
    ways = ['decoding', 'pack', 'pack, 4 times as large']
    assert [(row['way'], row['workers']) for row in found['loader']] == [(way, 1) for way in ways]
    assert all(row['samples_per_second']['median'] > 1 for row in found['loader'])
    assert found['needed']['decoding'] == {'workers': 1, 'measured': True}
    assert record['machine']['processor']
    output = capsys.readouterr().out
    assert 'A training step of 1 images/s needs:\n  decoding: num_workers=1 (measured: ' in output
    assert sorted(path.name for path in tmp_path.iterdir()) == ['figures.json', 'photos']


def test_an_estimate_is_called_one(tool, capsys):
    speed = dict(samples_per_second=dict(median=20.0), workers=2)
    found = dict(loader=[dict(way=way, **speed) for way in ('decoding', 'pack')])
    assert tool.tell_workers(found, 35)['pack'] == {'workers': 4, 'measured': False}
    expected = 'pack: num_workers=4 (not measured: at the 10.0 samples/s of each of 2)'
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--workers', '0'], 'argument --workers: 0 is not a number from 1 on'),
        (['--needed', '0'], 'argument --needed: 0 is not more than 0'),
        (['--workers', '--needed', '3'], '--needed wants --workers to be measured'),
    ],
)
def test_arguments_that_make_no_sense(tool, capsys, arguments, message):
    with pytest.raises(SystemExit):
        tool.parse_args(arguments)
    assert message in capsys.readouterr().err


def test_a_folder_without_photos(tool, tmp_path):
    with pytest.raises(UserError, match='no photo|no image|empty'):
        next(tool.load_photos(tmp_path))
