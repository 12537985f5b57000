import json

import cv2
import numpy as np
import pytest
import support
import torch

from mmspd.apis import init_model
from mmspd.errors import UserError

SEAMS = ['dec3', 'dec2', 'dec1']


main = support.load_tool('analysis/show_prior.py').main


@pytest.fixture
def save(write_config, tmp_path):
    """Return a function that writes a config and weights, and returns arguments of the tool."""

    def write(extra='', base='guided'):
        config = write_config(extra, base=base)
        torch.save({'state_dict': init_model(config).state_dict()}, tmp_path / 'epoch_1.pth')
        return [config, str(tmp_path / 'epoch_1.pth'), '--device=cpu', f'--out={tmp_path / "out"}']

    return write


@pytest.fixture
def photos(pairs_root):
    return [str(pairs_root / 'val' / name / '00.png') for name in ('input', 'target')]


def read(path):
    image = cv2.imread(str(path))
    assert image is not None, path
    return image


@pytest.mark.slow
def test_pictures_maps_and_numbers(save, photos, tmp_path, pairs_root, capsys):
    other = str(pairs_root / 'val' / 'input' / '01.png')
    (tmp_path / 'more').mkdir()
    namesake = tmp_path / 'more' / '00.png'  # the same name in another folder
    cv2.imwrite(str(namesake), cv2.resize(read(other), (40, 24)))
    blurry, sharp = [photos[0], str(namesake)], [photos[1], str(namesake)]
    main([*save(base='distilled'), *blurry, '--sharp', *sharp, '--maps'])
    out = tmp_path / 'out'
    numbers = json.loads((out / 'numbers.json').read_text())
    assert list(numbers) == ['1_00', '2_00']
    for values in numbers.values():
        assert all(abs(level['similarity']) <= 1 for level in values['levels'])
        assert list(values['seams']) == SEAMS
    assert numbers['2_00']['psnr']['blurry'] == float('inf')
    per_level = ('prior', 'aggregated', 'student', 'teacher', 'similarity')
    expected = {'blurry', 'restored', 'sharp'} | {
        f'{name}_{i}' for name in per_level for i in (1, 2, 3)
    }
    expected |= {f'{name}_{seam}' for name in ('mu', 'sigma') for seam in SEAMS}
    for name, size in (('1_00', (32, 32)), ('2_00', (24, 40))):
        assert min(read(out / f'{name}.png').shape[:2]) > 1000
        assert {path.stem for path in (out / name).iterdir()} == expected
        assert all(read(path).shape[:2] == size for path in (out / name).iterdir())
    assert (read(out / '1_00' / 'blurry.png') == read(photos[0])).all()
    output = capsys.readouterr().out
    assert 'similarity 3' in output
    assert 'mu change' in output
    assert f'Wrote 2 pictures and numbers.json to {out}.' in output


@pytest.mark.slow
def test_a_part_and_a_reduced_photo(save, photos, tmp_path):
    model = save()
    main([*model, photos[0], '--maps', '--crop', '3', '5', '20', '10'])
    part = read(tmp_path / 'out' / '00' / 'blurry.png')
    assert (part == read(photos[0])[5:15, 3:23]).all()
    main([*model, photos[0], '--maps', '--max-side=16'])
    small = read(tmp_path / 'out' / '00' / 'blurry.png')
    blocks = read(photos[0]).reshape(16, 2, 16, 2, 3).mean((1, 3))
    assert abs(small - blocks).max() <= 0.5


def test_a_model_without_teacher_and_mu(save, photos, capsys):
    add = "model['generator']['embedding']['fusion'] = dict(type='mmspd.AddFusion')\n"
    main([*save(add), photos[0], '--sharp', photos[1]])
    output = capsys.readouterr().out
    assert 'There is no mu and sigma, because the fusion is AddFusion.' in output
    assert 'There is no similarity, because the model has no teacher.' in output
    assert 'blurry dB' in output
    assert 'similarity 1' not in output


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['--sharp', 'a.png', 'b.png'], '--sharp has 2 photos, but PHOTO has 1; give'),
        (
            ['--crop', '20', '0', '13', '5'],
            r'--crop 20 0 13 5 is not inside .*, which has 32x32 pixels',
        ),
        (['--max-side=-1'], '--max-side is -1; use a number of pixels, or 0.'),
    ],
)
def test_wrong_arguments(save, photos, arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        main([*save(), photos[0], *arguments])


def test_photos_that_do_not_fit(save, photos, tmp_path):
    model = save()
    (tmp_path / 'text.png').write_text('no photo')
    with pytest.raises(UserError, match=r"text.png' is damaged or not an image"):
        main([*model, str(tmp_path / 'text.png')])
    cv2.imwrite(str(tmp_path / 'small.png'), np.zeros((8, 9, 3), np.uint8))
    with pytest.raises(UserError, match=r"small.png' has 9x8 pixels, but '.*00.png' has 32x32"):
        main([*model, photos[0], '--sharp', str(tmp_path / 'small.png')])


def test_too_little_memory(save, photos, monkeypatch):
    monkeypatch.setitem(main.__globals__, 'free_memory', lambda device: 2**20)
    with pytest.raises(UserError, match=r'32x32 pixels of 00 need about .* --crop or a smaller'):
        main([*save(), photos[0]])


def test_a_plain_restorer(save, photos):
    with pytest.raises(UserError, match='The SemanticPriorDeblurrer has no guided generator'):
        main([*save(base='tiny'), photos[0]])
