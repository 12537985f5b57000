import json
import re

import cv2
import pytest
from support import load_tool


@pytest.fixture
def main():
    """The tool's main; it makes OpenCV work on one core."""
    module = load_tool('benchmark/metrics.py')
    threads = cv2.getNumThreads()
    yield module.main
    cv2.setNumThreads(threads)


def test_every_metric_is_timed(main, capsys, tmp_path):
    figures = tmp_path / 'figures.json'
    main(['--size', '96', '192', '--runs', '1', '--json', str(figures)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('192x96: ms')
    found = {line[:24].strip(): re.findall(r'[\d.]+', line[24:]) for line in lines[1:]}
    assert len(found) == 7
    assert float(found['SSIM-2d'][1]) == 1
    assert all(float(value) >= 0 for values in found.values() for value in values)
    record = json.loads(figures.read_text())
    assert {row['metric'] for row in record['found']} == set(found)
    assert record['machine']['device'] == 'cpu'
