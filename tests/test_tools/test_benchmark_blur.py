import json

import cv2
import pytest
from support import load_tool


@pytest.mark.slow
def test_worker_and_device(tmp_path, capsys, monkeypatch):
    tool = load_tool('benchmark/blur_synthesis.py')
    threads, path = cv2.getNumThreads(), tmp_path / 'results.json'
    monkeypatch.setattr(tool, 'SIZE', (96, 128))
    arguments = ['--rounds', '2', '--batch', '2', '--crop', '32', '--json', str(path)]
    tool.main(arguments)
    cv2.setNumThreads(threads)
    results = json.loads(path.read_text())['results']
    assert results['device']['median'] == pytest.approx(2 / results['seconds']['median'], rel=0.5)
    assert all(results[part]['median'] > 5 for part in ('blurring', 'drawing', 'device'))
    assert results['mib'] > 32 * 32 * 13 * 3 * 4 / 2**20  # the sub-frames of a sample
    output = capsys.readouterr().out
    assert 'for a batch of 2 crops of 32x32 pixels.' in output
    rows = load_tool('benchmark/report.py').blur_rows(
        tool.measure(tool.CPU, batch=1, crop=32, rounds=1)
    )
    assert [row.name for row in rows] == [
        'blur synthesis, a worker',
        'blur synthesis, a worker that only draws',
        'blur synthesis on the device, batch 1',
    ]
    assert rows[2].value.endswith('samples/s')
