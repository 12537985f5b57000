"""Measured severities from the data set to the sampler."""

import json
import re
from collections import Counter

import cv2
import numpy as np
import pytest
from skimage import data
from support import load_tool

from mmspd.datasets import GoProDataset, SeveritySampler
from mmspd.datasets.blur.synthesis import BlurSpec, synthesize_blur
from mmspd.errors import UserError

LENGTHS = dict(mild=2, moderate=4, severe=11)

main = load_tool('analysis/severity.py').main


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """GoPro's layout with one pair of each severity and one flat pair, in both blur folders."""
    root = tmp_path_factory.mktemp('GOPRO_Large')
    photo = cv2.resize(data.coffee(), (300, 200), interpolation=cv2.INTER_AREA)
    flat = np.full_like(photo, 90)
    for name, sharp, length in (*((n, photo, k) for n, k in LENGTHS.items()), ('flat', flat, 5)):
        spec = BlurSpec((length, length), 'panning')
        blurry, _ = synthesize_blur(sharp, np.random.default_rng(0), spec)
        for kind, image in (('blur', blurry), ('blur_gamma', sharp), ('sharp', sharp)):
            folder = root / 'train' / name / kind
            folder.mkdir(parents=True)
            cv2.imwrite(str(folder / '000001.png'), image[..., ::-1])
    return root


def test_templates_pair_other_names(root, tmp_path):
    out = tmp_path / 'records.jsonl'
    templates = ['--blur-template', 'blur/{}', '--sharp-template', 'sharp/{}']
    main([str(root), '--out', str(out), '--workers', '0', *templates])
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert [record['key'] for record in records] == [
        f'{name}/000001' for name in ('flat', 'mild', 'moderate', 'severe')
    ]
    assert [record['severity'] for record in records] == [None, *LENGTHS]


@pytest.mark.parametrize('workers', ['0', '2'])
def test_a_damaged_image_does_not_stop_the_rest(tmp_path, capsys, workers):
    for kind in ('blur', 'sharp'):
        for name in '0', '1':
            path = tmp_path / 'train/scene' / kind / f'{name}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((32, 32, 3), 90, np.uint8))
    bad = tmp_path / 'train/scene/blur/0.png'
    bad.write_bytes(b'no image')
    out = tmp_path / 'records.jsonl'
    assert main([str(tmp_path), '--out', str(out), '--workers', workers]) == 1
    assert [json.loads(line)['key'] for line in out.read_text().splitlines()] == ['scene/1']
    printed = capsys.readouterr().out
    assert "The records of 1 pairs are in '" in printed
    assert re.search(rf'^Skipped: .*{re.escape(str(bad))}.*\.$', printed, re.M)
    bad.with_name('1.png').write_bytes(b'no image')
    with pytest.raises(UserError, match=r'None of the 2 pairs can be measured\. The first: '):
        main([str(tmp_path), '--out', str(out), '--workers', workers])


@pytest.mark.slow
def test_the_sampler_uses_the_records(root, tmp_path, capsys):
    out = tmp_path / 'new' / 'records.jsonl'
    main([str(root), '--out', str(out), '--workers', '0'])
    assert '1 mild, 1 moderate, 1 severe, 1 unknown' in capsys.readouterr().out
    records = {line['key']: line for line in map(json.loads, out.read_text().splitlines())}
    for name, length in LENGTHS.items():
        record = records[f'{name}/000001']
        assert record['severity'] == name
        assert record['extent'] == pytest.approx(length, abs=2)
        assert record['share'] == pytest.approx(record['extent'] / np.sqrt(300 * 200), abs=1e-4)
        assert 10 < record['psnr'] < 40
    flat = records['flat/000001']
    assert flat['severity'] is flat['extent'] is flat['share'] is None
    dataset = GoProDataset(str(root), records=str(out))
    weights = dict(mild=0, moderate=0, severe=1, unknown=1)
    drawn = Counter(dataset[i]['key'] for i in SeveritySampler(dataset, weights, seed=0))
    assert drawn == {'severe/000001': 2, 'flat/000001': 2}


@pytest.mark.slow
def test_a_config_names_the_pairs_and_workers_keep_the_records(root, tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(
        'train_dataloader = dict(dataset=dict(type="mmengine.RepeatDataset", times=2, dataset=dict('
        f'type="mmspd.GoProDataset", data_root={str(root)!r}, blur_key="blur_gamma", '
        'records="not_made_yet.jsonl", pipeline=[dict(type="mmspd.LoadImagePair")])))'
    )
    for workers in (0, 2):
        out = tmp_path / f'{workers}.jsonl'
        main([str(config), '--out', str(out), '--workers', str(workers)])
    assert (tmp_path / '0.jsonl').read_text() == (tmp_path / '2.jsonl').read_text()
    records = [json.loads(line) for line in (tmp_path / '0.jsonl').read_text().splitlines()]
    assert len(records) == 4
    assert all(record['psnr'] is None for record in records)  # blur_gamma is the sharp photo here
    assert all(record['extent'] is None or record['extent'] <= 2 for record in records)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['{root}', '--split', 'val'], r"holds 0 data sets of the split 'val' \(existing splits: "),
        (['{root}/train/mild/blur'], 'has an unknown layout'),
        (['{root}/absent.py'], 'does not exist'),
        (['{root}/../config.py', '--split', 'test'], 'has no test_dataloader; set --split'),
    ],
)
def test_errors_are_reported_and_no_file_is_written(root, tmp_path, arguments, message):
    (root.parent / 'config.py').write_text('train_dataloader = dict()')
    out = tmp_path / 'records.jsonl'
    with pytest.raises(UserError, match=message):
        main([argument.format(root=root) for argument in arguments] + ['--out', str(out)])
    assert not out.exists()
