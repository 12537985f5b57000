"""The notebook runs from top to bottom, and is committed without its results."""

import json
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import support
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / 'notebooks' / 'train_and_restore.ipynb'
#: Two photos for training and one for the evaluation, each of one or two tiles.
PHOTOS = {'train': (40, 60), 'test': (40, 60)}


def code_cells():
    cells = json.loads(NOTEBOOK.read_text())['cells']
    return [cell for cell in cells if cell['cell_type'] == 'code']


def test_the_notebook_has_no_results():
    assert [(cell['outputs'], cell['execution_count']) for cell in code_cells()] == [
        ([], None)
    ] * len(code_cells())
    assert NOTEBOOK.stat().st_size < 10_000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder whose data set has one training pair and one test pair."""
    tool = support.load_tool('quickstart_data.py')
    photo = tool.Photo
    image = np.asarray(Image.effect_noise((112, 112), 50).convert('RGB'))
    photos = [photo('one', 'train', 'noise', image), photo('two', 'test', 'noise', image)]
    monkeypatch.setattr(tool, 'bundled_photos', lambda: photos)
    monkeypatch.setitem(tool.DRAWS, 'train', 1)
    monkeypatch.setitem(tool.SCALES, 'train', (1.0,))
    tool.build(tmp_path / 'data' / 'quickstart')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', [str(NOTEBOOK)])
    for name in ('QUICKSTART_ROOT', 'MMSPD_TEACHER'):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.slow
def test_the_notebook_runs(folder, monkeypatch, capsys):
    matplotlib.use('Agg')
    namespace = {'__name__': '__main__'}
    for number, cell in enumerate(code_cells()):
        text = ''.join(cell['source'])
        if number == 0:
            assert text.count('EPOCHS = 8 ') == 1
            text = text.replace('EPOCHS = 8 ', 'EPOCHS = 1 ')
        exec(compile(text, f'cell {number}', 'exec'), namespace)
    assert (folder / 'work_dirs' / 'notebook' / 'epoch_1.pth').is_file()
    assert namespace['restored'].shape == (112, 112, 3)
    assert set(namespace['results']) >= {'PSNR', 'PSNR-gain', 'SSIM-matlab'}
    assert [axis.get_title() for axis in namespace['axes']] == ['blurry', 'restored', 'sharp']
    assert 'PSNR-gain: ' in capsys.readouterr().out
