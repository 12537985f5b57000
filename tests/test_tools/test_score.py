"""Finished images scored without a network, and compared with results of tools/test.py."""

import hashlib
import json
import re
import shutil

import cv2
import numpy as np
import pytest

from mmspd.evaluation import NIQE, Result
from mmspd.evaluation.metrics import psnr

TOOL = 'analysis/score.py'
KINDS = ('restored', 'sharp', 'blurry')


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Three images of each kind; the restored images are closer to the sharp ones."""
    root = tmp_path_factory.mktemp('finished')
    rng = np.random.default_rng(0)
    for number in range(3):
        sharp = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (64, 48))
        blurry = cv2.blur(sharp, (7, 1))
        restored = cv2.addWeighted(sharp, 0.5, blurry, 0.5, 0)
        for name, image in (('sharp', sharp), ('blurry', blurry), ('restored', restored)):
            path = root / name / 'scene' / f'{number}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
    return root


@pytest.fixture
def score(call_tool, folders, tmp_path):
    """Return a function that scores images and returns the result and the output."""

    def run(*arguments, out='out'):
        code, output, error = call_tool(TOOL, *arguments, '--out', tmp_path / out)
        assert code == 0, error
        return Result.load(tmp_path / out), output

    return run


def read(path):
    return cv2.imread(str(path))[..., ::-1]


@pytest.mark.slow
def test_the_values_equal_those_of_test_py(call_tool, tested, pairs_root, tmp_path):
    out, images, val = tmp_path / 'tested', tmp_path / 'tested' / 'images', pairs_root / 'val'
    code, output, _ = call_tool('test.py', *tested, '--out', out, '--protocol', 'gopro')
    assert code == 0, output
    first = Result.load(out)
    digest = hashlib.sha256()
    for image in first.images:
        file = (images / f'{image["key"]}.png').read_bytes()
        digest.update(f'{image["key"]}\0{hashlib.sha256(file).hexdigest()}\n'.encode())
    dataset = dict(type='mmspd.PairedFolderDataset', data_root=str(val))
    file = tmp_path / 'val.py'
    file.write_text(f'test_dataloader = dict(dataset={dataset})')
    ways = {
        'folders': [val / 'target', '--blurry', val / 'input'],
        'dataset': ['--test-on', file, '--protocol', 'gopro'],
    }
    for name, data in ways.items():
        arguments = (images, *data, '--out', tmp_path / name, '--name', name)
        code, output, error = call_tool(TOOL, *arguments)
        assert code == 0, error
        assert 'Results by blur severity:' in output
        assert (tmp_path / name / 'severity.png').is_file()
        second = Result.load(tmp_path / name)
        for image in second.images:
            assert image.pop('restored') == str(images / f'{image["key"]}.png')
        for part in ('metrics', 'metric_info', 'severity', 'images'):
            assert getattr(second, part) == getattr(first, part)
        provenance = second.provenance
        assert provenance['versions'] == first.provenance['versions']
        assert provenance['checkpoint'] is None
        assert provenance['finished'] == dict(path=str(images), sha256=digest.hexdigest())
    assert provenance['dataset'] == first.provenance['dataset']
    compared = tmp_path / 'compared'
    results = (out, *(tmp_path / name for name in ways))
    code, output, error = call_tool('analysis/compare.py', *results, '--out', compared)
    assert code == 0, error
    for name in ways:
        assert f'{name}, finished images in {images} ({digest.hexdigest()[:8]}).' in output
    assert 'matched by name only' not in output
    for comparison in json.loads((compared / 'comparison.json').read_text())['comparisons']:
        assert {each['difference'] for each in comparison['metrics']} == {0.0}
    # equal images are neither the best nor the worst ones
    assert {path.name for path in compared.glob('*.png')} == {'severity.png'}


def test_sharp_images_are_enough(score, folders, call_tool, tmp_path):
    result, output = score(folders / 'restored', folders / 'sharp')
    assert 'these are not measured: PSNR of the blurry images, BlurSeverity.' in output
    images = {name: [read(folders / name / f'scene/{n}.png') for n in range(3)] for name in KINDS}
    values = map(psnr, images['restored'], images['sharp'])
    expected = {f'scene/{number}': value for number, value in enumerate(values)}
    assert {image['key']: image['PSNR'] for image in result.images} == expected
    assert {*result.metrics} == {'PSNR', 'SSIM-matlab', 'SSIM-2d'}
    assert result.metrics['PSNR'] == pytest.approx(np.mean([*expected.values()]))
    provenance = result.provenance
    assert provenance['config']['recipe'] == 'restored'
    assert provenance['dataset'] == dict(type='folders', images=3, sharp=str(folders / 'sharp'))
    assert provenance['metrics']['metrics'][0] == dict(type='mmspd.PSNR', report_input=False)
    # two scored methods are compared, too
    score(folders / 'blurry', folders / 'sharp', out='second')
    code, output, error = call_tool('analysis/compare.py', tmp_path / 'out', tmp_path / 'second')
    assert code == 0, error
    assert 'the images were matched by name only' in output
    assert re.search(r'PSNR +\|? *' + f'{result.metrics["PSNR"]:.2f}', output)


@pytest.mark.slow
def test_other_names_and_suffixes(score, folders, tmp_path):
    """All images are in one folder, and the restored images are JPEG files."""
    root = tmp_path / 'mixed' / 'scene'
    root.mkdir(parents=True)
    for number in range(3):
        for name, ending in (('sharp', '_gt'), ('blurry', '')):
            shutil.copy(folders / name / f'scene/{number}.png', root / f'{number}{ending}.png')
        image = cv2.imread(str(folders / 'restored' / f'scene/{number}.png'))
        cv2.imwrite(str(root / f'{number}_out.JPG'), image)
    (root / 'log.txt').touch()
    folder = tmp_path / 'mixed'
    arguments = [folder, folder, '--blurry', folder]
    templates = ['--restored-template', '{}_out', '--sharp-template', '{}_gt']
    result, _ = score(*arguments, *templates)
    restored, sharp, blurry = (folders / name for name in KINDS)
    whole, _ = score(restored, sharp, '--blurry', blurry, out='whole')
    assert [image['key'] for image in result.images] == [f'scene/{n}' for n in range(3)]
    for image, same in zip(result.images, whole.images):
        files = [root / f'{image["key"][-1]}{ending}' for ending in ('_out.JPG', '_gt.png')]
        assert image['PSNR'] == psnr(*map(read, files))
        assert image['PSNR-input'] == same['PSNR-input']
        assert [image['restored'], image['sharp']] == [str(file) for file in files]


def test_no_reference(score, tmp_path):
    from skimage import data

    photo = data.astronaut()[:96, 100:292]
    (tmp_path / 'photos').mkdir()
    cv2.imwrite(str(tmp_path / 'photos' / 'a.png'), photo[..., ::-1])
    result, _ = score(tmp_path / 'photos', '--protocol', 'no-reference')
    assert result.metrics['NIQE'] == NIQE().judge(photo)
    assert {*result.metrics} == {'blur-effect', 'NIQE'}
    assert result.images[0]['sharp'] == result.images[0]['blurry'] == ''


def write_gray(folder):
    image = cv2.imread(str(folder / 'scene/1.png'), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(folder / 'scene/1.png'), image)


def crop(folder):
    for number in (1, 2):
        path = str(folder / f'scene/{number}.png')
        cv2.imwrite(path, cv2.imread(path)[:-1])


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (
            crop,
            r"2 images differ in size .* \('\S+/copy/scene/1\.png' is 64x47 and "
            r"'\S+/sharp/scene/1\.png' is 64x48 pixels\); give",
        ),
        (write_gray, r"'\S+/copy/scene/1\.png' has no color \(gray\); convert it to 8-bit RGB"),
        (
            lambda folder: (folder / 'scene/1.png').unlink(),
            r'1 images have no partner of the same name \(\S+/sharp/scene/1\.png\); add the',
        ),
        (
            lambda folder: shutil.copy(folder / 'scene/1.png', folder / 'scene/7.png'),
            r'1 images have no partner of the same name \(\S+/copy/scene/7\.png\); add the missing',
        ),
        (
            lambda folder: shutil.copy(folder / 'scene/1.png', folder / 'scene/1.jpg'),
            r"scene/1\.\w+' and '\S+scene/1\.\w+' differ only in their suffix; rename one",
        ),
        (
            lambda folder: (folder / 'scene/1.png').write_bytes(b'no image'),
            r"Cannot decode '\S+/copy/scene/1\.png'",
        ),
        (shutil.rmtree, "The folder '.*copy' of restored images does not exist"),
        (
            lambda folder: [path.unlink() for path in folder.rglob('*.png')],
            r"copy' has no image that fits '\{\}' \(it holds scene\); correct the folder or --rest",
        ),
    ],
)  # fmt: skip
def test_faults_of_images(call_tool, folders, tmp_path, change, sentence):
    copy = shutil.copytree(folders / 'restored', tmp_path / 'copy')
    change(copy)
    out = tmp_path / 'out'
    code, _, error = call_tool(TOOL, copy, folders / 'sharp', '--out', out)
    assert code == (2 if change is shutil.rmtree else 1)
    assert re.match(f'error: .*{sentence}', error.splitlines()[-1])
    assert not out.exists()


def test_an_image_that_cannot_be_measured_is_named(call_tool, tmp_path):
    for name in ('restored', 'sharp'):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / '1.png'), np.full((8, 9, 3), len(name), np.uint8))
    folders = tmp_path / 'restored', tmp_path / 'sharp'
    code, _, error = call_tool(TOOL, *folders, '--out', tmp_path / 'out')
    assert code == 1
    sentence = r"error: Cannot measure '\S+/restored/1\.png': SSIM needs images of at least 11x11"
    assert re.match(sentence, error.splitlines()[-1])


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['restored'], 'PSNR needs sharp images; give their folder SHARP, or --protocol no-ref'),
        (['restored', 'sharp', '--test-on', 'gopro'], '--test-on gopro replaces SHARP and --blur'),
        (['restored', 'sharp', '--out', 'restored/new'], "--out 'restored/new' is in a folder of"),
        (['restored', 'sharp', '--out', 'used'], "'used' already contains a result.json; choose"),
        (['restored', 'sharp', '--sharp-template', 's_'], r"--sharp-template='s_' does not con"),
        (['restored', 'sharp', '--protocol', 'gopor'], "There is no 'gopor' among the protocols"),
        (
            ['restored', 'sharp', '--protocol', 'input.py'],
            'All metrics of the protocol need blu',
        ),
    ],
)
def test_wrong_arguments(call_tool, folders, tmp_path, monkeypatch, arguments, sentence):
    for name in ('restored', 'sharp'):
        shutil.copytree(folders / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'used').mkdir()
    (tmp_path / 'used' / 'result.json').touch()
    (tmp_path / 'input.py').write_text("input_metrics = [dict(type='mmspd.BlurSeverity')]")
    code, _, error = call_tool(TOOL, *arguments, *([] if '--out' in arguments else ['--out', 'o']))
    assert code == 2
    assert re.match(f'error: {sentence}', error)
