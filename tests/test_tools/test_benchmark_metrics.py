import importlib.util
import re
from pathlib import Path

import cv2
import pytest

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'benchmark' / 'metrics.py'


@pytest.fixture
def main():
    """The tool's main; it makes OpenCV work on one core."""
    spec = importlib.util.spec_from_file_location('benchmark_metrics', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    threads = cv2.getNumThreads()
    yield module.main
    cv2.setNumThreads(threads)


def test_every_metric_is_timed(main, capsys):
    main(['--size', '96', '192', '--runs', '1'])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('192x96: ms')
    found = {line[:24].strip(): re.findall(r'[\d.]+', line[24:]) for line in lines[1:]}
    assert len(found) == 7
    assert float(found['SSIM-2d'][1]) == 1
    assert all(float(value) >= 0 for values in found.values() for value in values)
