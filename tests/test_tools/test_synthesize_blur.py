import errno
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import load_tool

from mmspd.datasets import GoProDataset
from mmspd.datasets.blur import folder as blur_folder
from mmspd.datasets.blur.folder import FolderPlan, synthesize_folder
from mmspd.datasets.blur.synthesis import BlurSpec, synthesize_blur
from mmspd.datasets.image_io import read_rgb, write_png
from mmspd.errors import UserError
from mmspd.evaluation.metrics import psnr
from mmspd.utils.severity import SEVERITIES

PLAN = FolderPlan((BlurSpec('mild'), BlurSpec('severe')), per_image=2, train_share=0.7)


def tree(root):
    """Return the contents of all files below a folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob('*')
        if path.is_file()
    }


@pytest.fixture
def photos(tmp_path):
    """Six small photos, one of them in a sub-folder."""
    root = tmp_path / 'photos'
    for number, name in enumerate(('a', 'b', 'c', 'd', 'e', 'trip/f')):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        coarse = np.random.default_rng(number).integers(0, 256, (9, 10, 3), dtype=np.uint8)
        cv2.imwrite(str(root / f'{name}.png'), cv2.resize(coarse, (60, 48)))
    return root


def test_makes_a_data_set_that_gopro_reads_and_leaves_the_photos_alone(photos, tmp_path):
    before = tree(photos)
    out = tmp_path / 'out'
    made = synthesize_folder(photos, out, PLAN)
    assert made == {'train': 8, 'test': 4, 'skipped': 0}
    assert tree(photos) == before
    datasets = {split: GoProDataset(str(out), split) for split in ('train', 'test')}
    assert {split: len(dataset) for split, dataset in datasets.items()} == {'train': 8, 'test': 4}
    names = {}
    for split, dataset in datasets.items():
        samples = [dataset[i] for i in range(len(dataset))]
        names[split] = {sample['key'].split('/')[0] for sample in samples}
        assert {sample['severity'] for sample in samples} == {'mild', 'severe'}
    assert names['train'] | names['test'] == {'a', 'b', 'c', 'd', 'e', 'trip__f'}
    assert not names['train'] & names['test']
    sharp = next(out.glob('*/trip__f/sharp/000001.png'))
    np.testing.assert_array_equal(read_rgb(sharp), read_rgb(photos / 'trip' / 'f.png'))
    lines = (out / 'train' / 'records.jsonl').read_text().splitlines()
    records = [json.loads(line) for line in lines]
    keys = [record['key'] for record in records]
    assert keys == sorted(set(keys))
    expected = {'severity', 'kind', 'extent', 'share', 'sub_frames', 'noise', 'seed'}
    assert all(expected <= set(record) for record in records)
    assert len({str(record['seed']) for record in records}) == len(records) == 8


@pytest.mark.slow
def test_result_depends_on_seed_and_names_alone(photos, tmp_path):
    synthesize_folder(photos, tmp_path / 'one', PLAN)
    synthesize_folder(photos, tmp_path / 'two', PLAN, workers=2)
    first = tree(tmp_path / 'one')
    assert tree(tmp_path / 'two') == first
    # the blur of a photo does not depend on the other photos
    (photos / 'a.png').unlink()
    synthesize_folder(photos, tmp_path / 'fewer', PLAN)
    blurred = {k.split('/', 1)[1]: v for k, v in first.items() if '/blur/' in k}
    fewer = {k.split('/', 1)[1]: v for k, v in tree(tmp_path / 'fewer').items() if '/blur/' in k}
    assert fewer == {key: value for key, value in blurred.items() if not key.startswith('a/')}
    other = FolderPlan(PLAN.specs, 2, 0.7, seed=1)
    synthesize_folder(photos, tmp_path / 'other', other)
    assert tree(tmp_path / 'other') != tree(tmp_path / 'fewer')


def test_an_interrupted_run_is_completed(photos, tmp_path, monkeypatch):
    synthesize_folder(photos, tmp_path / 'whole', PLAN)
    calls = []

    def stop_after_five(path, image):
        calls.append(path)
        if len(calls) > 5:
            raise KeyboardInterrupt
        write_png(path, image)

    monkeypatch.setattr(blur_folder, 'write_png', stop_after_five)
    with pytest.raises(KeyboardInterrupt):
        synthesize_folder(photos, tmp_path / 'out', PLAN)
    made = next((tmp_path / 'out').glob('*/a/blur/000000.png'))
    modified = made.stat().st_mtime_ns
    monkeypatch.undo()
    synthesize_folder(photos, tmp_path / 'out', PLAN)
    assert made.stat().st_mtime_ns == modified
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')


def test_no_space_is_one_sentence_and_leaves_no_partial_file(photos, tmp_path, monkeypatch):
    def full(self, data):
        self.open('wb').write(data[:10])
        raise OSError(errno.ENOSPC, 'No space left on device')

    out = tmp_path / 'out'
    synthesize_folder(photos, out, PLAN)
    next(out.glob('*/b/blur/000001.png')).unlink()
    expected = set(tree(out))
    monkeypatch.setattr(Path, 'write_bytes', full)
    with pytest.raises(UserError, match=r"No disk space is left to write '.*png' \(\d+ bytes"):
        synthesize_folder(photos, out, PLAN)
    assert set(tree(out)) == expected


def test_other_settings_or_photos_do_not_mix(photos, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    synthesize_folder(photos, out, PLAN)
    with monkeypatch.context() as patch:
        patch.setattr(blur_folder, 'SEVERITIES', {**SEVERITIES, 'severe': (0.032, 0.064)})
        with pytest.raises(UserError, match='made with other settings or photos'):
            synthesize_folder(photos, out, PLAN)
    with pytest.raises(UserError, match='made with other settings or photos'):
        synthesize_folder(photos, out, FolderPlan(PLAN.specs, per_image=1))
    (photos / 'e.png').unlink()
    with pytest.raises(UserError, match='made with other settings or photos'):
        synthesize_folder(photos, out, PLAN)
    with pytest.raises(UserError, match='contains other files'):
        synthesize_folder(photos, tmp_path, PLAN)


def test_unusable_photos(photos, tmp_path):
    gray = np.zeros((48, 60), np.uint8)
    cv2.imwrite(str(photos / 'gray.png'), gray)
    cv2.imwrite(str(photos / 'tiny.png'), np.zeros((20, 20, 3), np.uint8))
    (photos / 'broken.jpg').write_bytes(b'\xff\xd8 no photo')
    with pytest.raises(UserError, match=r'3 of 9 photos are unusable; .* The first: .*broken\.jpg'):
        synthesize_folder(photos, tmp_path / 'out', PLAN)
    made = synthesize_folder(photos, tmp_path / 'out', PLAN, skip_unusable=True)
    assert made['skipped'] == 3
    assert made['train'] + made['test'] == 12


def test_folders_that_make_no_sense(photos, tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match=r"empty' has no photo \(it holds nothing\)"):
        synthesize_folder(tmp_path / 'empty', tmp_path / 'out', PLAN)
    with pytest.raises(UserError, match=r"photos '.*absent' does not exist"):
        synthesize_folder(tmp_path / 'absent', tmp_path / 'out', PLAN)
    with pytest.raises(UserError, match='is inside the folder of the photos'):
        synthesize_folder(photos, photos / 'out', PLAN)
    with pytest.raises(UserError, match='One photo cannot be split'):
        synthesize_folder(photos / 'trip', tmp_path / 'out', PLAN)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(('share', 'counts'), [(1, (6, 0)), (0, (0, 6)), (0.99, (5, 1))])
def test_split_ratio(photos, tmp_path, share, counts):
    plan = FolderPlan((BlurSpec('mild'),), train_share=share)
    made = synthesize_folder(photos, tmp_path / 'out', plan)
    assert (made['train'], made['test']) == counts


def test_bad_plans():
    for arguments, message in (
        (dict(specs=()), 'at least one severity'),
        (dict(specs=PLAN.specs, per_image=0), 'per_image=0 makes no pair'),
        (dict(specs=PLAN.specs, train_share=1.5), 'train_share=1.5 is not a share'),
        (dict(specs=PLAN.specs, seed=-1), 'seed=-1 is negative'),
    ):
        with pytest.raises(UserError, match=message):
            FolderPlan(**arguments)


def test_command_line(photos, tmp_path, capsys):
    tool = load_tool('dataset_converters/synthesize_blur.py')
    arguments = [str(photos), str(tmp_path / 'out')]
    tool.main([*arguments, '--extent', '3', '4', '--kind', 'panning', '--noise', '0.02', '0.02'])
    assert '5 training and 1 test pairs' in capsys.readouterr().out
    text = (tmp_path / 'out' / 'test' / 'records.jsonl').read_text()
    record = json.loads(text.splitlines()[0])
    assert (record['kind'], record['noise']) == ('panning', 0.02)
    assert 3 <= record['extent'] <= 4


@pytest.mark.slow
def test_quick_start_data(tmp_path, capsys, monkeypatch):
    tool = load_tool('quickstart_data.py')
    monkeypatch.setitem(tool.DRAWS, 'train', 1)
    out = tmp_path / 'out'
    tool.main([str(out)])
    assert '210 training and 16 validation pairs from 17 photos' in capsys.readouterr().out
    train, test = GoProDataset(str(out)), GoProDataset(str(out), 'test')
    held_out = {test[i]['key'].split('/')[0] for i in range(len(test))}
    assert held_out == {'china', 'coffee', 'chelsea'}
    assert not held_out & {train[i]['key'].split('/')[0] for i in range(len(train))}
    for sample in (train[0], test[0]):
        blurry, sharp = read_rgb(sample['img_path']), read_rgb(sample['gt_path'])
        assert min(sharp.shape[:2]) >= 96
        assert 15 < psnr(blurry, sharp) < 45
    before = {path: path.stat().st_mtime_ns for path in out.rglob('*')}
    tool.main([str(out)])
    assert 'already exists' in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in out.rglob('*')} == before


def test_quick_start_tiles_keep_the_blur_of_the_whole_photo(monkeypatch):
    tool = load_tool('quickstart_data.py')
    monkeypatch.setattr(tool, 'BLUR', BlurSpec((8.0, 8.0), 'panning', noise=(0.0, 0.0)))
    image = cv2.resize(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8), (400, 340))
    written = {}
    monkeypatch.setattr(tool, 'write_png', lambda path, part: written.update({path: part}))
    monkeypatch.setitem(tool.SCALES, 'train', (1.0,))
    monkeypatch.setitem(tool.DRAWS, 'train', 1)
    rng = np.random.default_rng(0)
    tool.make_pairs(tool.Photo('p', 'train', '', image), Path('out'), rng)
    whole = synthesize_blur(image, rng, tool.BLUR)[0]
    for part, expected in (('blur', whole), ('sharp', image)):
        cuts = [written[Path(f'out/train/p/{part}/{i:06d}.png')] for i in range(4)]
        joined = np.vstack([np.hstack(cuts[:2]), np.hstack(cuts[2:])])
        np.testing.assert_array_equal(joined, expected)
