"""The comparison tool, run on two folders of tools/test.py --out."""

import json
import re
import shutil

import cv2
import numpy as np
import pytest
from support import load_tool

from mmspd.evaluation import PSNR, Result
from mmspd.evaluation.metrics import psnr
from mmspd.evaluation.severity_report import group_by_severity

TOOL = 'analysis/compare.py'


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Two results: one keeps the blur, and one halves it in every second image."""
    root = tmp_path_factory.mktemp('results')
    rng = np.random.default_rng(0)
    images = {'plain': [], 'guided': []}
    for index in range(12):
        sharp = cv2.resize(rng.integers(0, 256, (10, 20, 3), dtype=np.uint8), (160, 100))
        blurry = cv2.blur(sharp, (1, 9 + 2 * index))
        files = {name: root / 'data' / f'{name}_{index}.png' for name in ('blurry', 'sharp')}
        guided = blurry // 2 + sharp // 2 if index % 2 else blurry // 2
        restored = {'plain': blurry, 'guided': guided}
        files.update({name: root / name / 'images' / f's/{index}.png' for name in restored})
        for name, image in {'blurry': blurry, 'sharp': sharp, **restored}.items():
            files[name].parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(files[name]), image[..., ::-1])
        for name, image in restored.items():
            values = {'PSNR': psnr(image, sharp), 'PSNR-input': psnr(blurry, sharp)}
            paths = {part: str(files[part]) for part in ('blurry', 'sharp')}
            images[name].append({'key': f's/{index}', **values, **paths})
    dataset = dict(type='GoProDataset', split='test', blur_key='blur', is_official_set=True)
    for name, recipe in (('plain', 'unet_gopro'), ('guided', 'unet_sp_gopro')):
        provenance = dict(
            protocol='gopro',
            self_ensemble=False,
            dataset=dataset,
            precision='float32',
            machine=dict(device='cpu'),
            config=dict(recipe=recipe),
            checkpoint=dict(path=f'{name}.pth', sha256=None),
            pictures='images',
        )
        mean = float(np.mean([image['PSNR'] for image in images[name]]))
        groups = group_by_severity(images[name])
        Result(provenance, {'PSNR': mean}, PSNR.info, images[name], groups).save(root / name)
    return root


def test_the_comparison_is_printed_and_written(call_tool, folders, tmp_path):
    out = tmp_path / 'deep' / 'out'
    results = (folders / 'plain', folders / 'guided' / 'result.json')
    options = ('--names', 'a', 'b', '--out', out, '--paper-table', 1)
    code, output, _ = call_tool(TOOL, *results, *options)
    assert code == 0
    text = (out / 'comparison.md').read_text()
    assert text in output
    assert '# b against a' in text
    assert '30.29 to 31.06 (+0.77)' in text
    assert '| > b ' in text
    content = json.loads((out / 'comparison.json').read_text())
    (comparison,) = content['comparisons']
    plain, guided = (Result.load(path) for path in results)
    pairs = list(zip(plain.images, guided.images))
    assert comparison['images'] == {a['key']: b['PSNR'] - a['PSNR'] for a, b in pairs}
    (metric,) = comparison['metrics']
    assert (metric['wins'], metric['losses']) == (6, 6)
    assert metric['over_images'][0] < metric['difference'] < metric['over_images'][1]
    names = {'comparison.md', 'comparison.json', 'severity.png', 'best_b.png', 'worst_b.png'}
    assert {path.name for path in out.iterdir()} == names


@pytest.mark.slow
def test_the_plot_groups_an_older_result_by_the_present_ranges(folders, tmp_path, monkeypatch):
    tool, drawn = load_tool(TOOL), {}
    monkeypatch.setattr(tool, 'plot_severity', lambda groups, *_: drawn.update(groups))
    result = Result.load(folders / 'plain')
    for image in result.images:
        image.update({'blur-extent': 2.5, 'size': [100, 100]})
    patches = [dict(name='20-23 dB', count=2)]
    older = [dict(name='moderate', count=12)]
    result.severity = {'blur extent': older, 'patches by input PSNR': patches}
    tool.plot_severities(tmp_path, {'older': result}, 'PSNR')
    groups = drawn['older']
    assert [(group['name'], group['count']) for group in groups['blur extent']] == [('severe', 12)]
    assert groups['patches by input PSNR'] == patches


def test_the_picture_shows_the_images_in_their_order(call_tool, folders, tmp_path):
    results = (folders / 'plain', folders / 'guided')
    assert call_tool(TOOL, *results, '--out', tmp_path)[0] == 0
    best = cv2.imread(str(tmp_path / 'best_unet_sp_gopro.png'))
    side = 50 * 5  # half the image, enlarged to about 256
    assert best.shape == (4 * (22 + side + 4), 8 * side // 5 + 4 * (4 + side), 3)
    columns = [
        best[22 : 22 + side, start : start + side]
        for start in range(8 * side // 5 + 4, best.shape[1], side + 4)
    ]
    blurry, plain, guided, sharp = columns
    assert np.array_equal(blurry, plain)
    assert np.abs(guided.astype(int) - (plain // 2 + sharp // 2)).max() == 0


def test_equal_images_are_not_drawn(call_tool, folders, tmp_path):
    arguments = ('--names', 'a', 'b', '--out', tmp_path)
    assert call_tool(TOOL, folders / 'plain', folders / 'plain', *arguments)[0] == 0
    assert [path.name for path in tmp_path.glob('*.png')] == ['severity.png']


def test_results_without_pictures_are_compared(call_tool, folders, tmp_path):
    shutil.copytree(folders / 'guided', tmp_path / 'guided')
    shutil.rmtree(tmp_path / 'guided' / 'images')
    out = tmp_path / 'out'
    code, output, _ = call_tool(TOOL, folders / 'plain', tmp_path / 'guided', '--out', out)
    assert code == 0
    assert 'Pictures are skipped because' in output
    assert 'with the images of unet_sp_gopro is missing' in output
    assert sorted(p.name for p in out.glob('*.png')) == ['severity.png']


def test_one_result_is_printed_in_the_papers_table(call_tool, folders):
    code, output, _ = call_tool(TOOL, folders / 'guided', '--paper-table', 1)
    assert code == 0
    assert output.index('UNet+SP') < output.index('> unet_sp_gopro') < output.index('DeepDeblur')
    assert 'Not in this table' not in output
    code, output, _ = call_tool(TOOL, folders / 'guided', '--paper-table', 2)
    assert code == 0
    assert '* Not in this table (other or incomplete test sets): unet_sp_gopro.' in output


def test_results_of_several_tests_are_printed_in_the_papers_table(call_tool, folders, tmp_path):
    truncated = Result.load(folders / 'guided')
    truncated.provenance['rounding'] = 'truncate'
    truncated.save(tmp_path)
    both = folders / 'plain', tmp_path, '--paper-table', 1
    code, output, _ = call_tool(TOOL, *both)
    assert code == 0
    assert output.index('> unet_gopro') < output.index('> unet_sp_gopro')
    last = output.splitlines()[-1]
    assert last.startswith('The results are not compared image by image. ')
    assert "rounding is None in the first and 'truncate' in the second" in last
    for option in (('--out', tmp_path / 'out'), ('--metric', 'PSNR')):  # need a comparison
        code, output, error = call_tool(TOOL, *both, *option)
        assert code == 2
        assert not output
        assert 'test both with the same rounding of the metrics' in error


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['plain'], 'There is only one result; add a second result'),
        (['plain', 'nothing'], "Cannot read the result '.*nothing'"),
        (['plain', 'guided', '--names', 'a', 'a'], "--names needs 2 different names, not 'a' 'a'"),
        (
            ['plain', 'guided', '--metric', 'SSIM'],
            "--metric 'SSIM' is not in all .*; choose from P",
        ),
        (['plain', 'guided', '--paper-table', '7'], 'no table 7 of results; use 1, 2, 3 or 4'),
    ],
)
def test_user_errors_are_one_sentence(call_tool, folders, monkeypatch, arguments, sentence):
    monkeypatch.chdir(folders)
    code, _, error = call_tool(TOOL, *arguments)
    assert code == 2
    assert re.search(f'^error: .*{sentence}', error)
