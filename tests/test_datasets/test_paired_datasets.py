import json

import numpy as np
import pytest
from samples import mmengine_log

from mmspd.datasets import GoProDataset, LoadImagePair, PairedFolderDataset
from mmspd.errors import UserError
from mmspd.registry import DATASETS

FIRST = 'GOPR0384_11_00'


def test_gopro_reads_the_raw_layout(gopro_root):
    dataset = DATASETS.build(dict(type='mmspd.GoProDataset', data_root=str(gopro_root)))
    assert len({dataset[i]['key'] for i in range(len(dataset))}) == len(dataset) == 6
    sample = dataset[0]
    assert sample['key'] == f'{FIRST}/000001'
    assert sample['img_path'] == str(gopro_root / 'train' / FIRST / 'blur' / '000001.png')
    assert sample['gt_path'] == str(gopro_root / 'train' / FIRST / 'sharp' / '000001.png')
    assert sample['severity'] is None


@pytest.mark.parametrize(('blur_key', 'part'), [('blur', 0), ('blur_gamma', 1)])
def test_gopro_blur_key_chooses_the_input(gopro_root, write_image, tmp_path, blur_key, part):
    sample = GoProDataset(str(gopro_root), 'test', blur_key, pipeline=[LoadImagePair()])[0]
    expected = write_image(tmp_path / 'same.png', seed=10 * part + 1)
    np.testing.assert_array_equal(sample['img'], expected)
    np.testing.assert_array_equal(sample['gt'], write_image(tmp_path / 'same.png', seed=10 * 2 + 1))


def test_an_official_set_has_all_pairs_and_the_blur_of_the_results(gopro_root, monkeypatch):
    assert not GoProDataset(str(gopro_root), 'test').is_official_set
    monkeypatch.setitem(GoProDataset.OFFICIAL_PAIRS, 'test', 6)
    assert GoProDataset(str(gopro_root), 'test').is_official_set
    assert not GoProDataset(str(gopro_root), 'test', indices=5).is_official_set
    assert not GoProDataset(str(gopro_root), 'test', 'blur_gamma').is_official_set
    assert not GoProDataset(str(gopro_root), 'train').is_official_set


def test_indices_of_mmengine_keep_working(gopro_root):
    assert len(GoProDataset(str(gopro_root), indices=2)) == 2
    dataset = GoProDataset(str(gopro_root), indices=[5, 0])
    assert [dataset[i]['key'] for i in range(2)] == ['GOPR0385_11_01/000003', f'{FIRST}/000001']
    assert len(GoProDataset(str(gopro_root)).get_subset(4)) == 4
    with pytest.raises(UserError, match='indices=0 selects no pair'):
        GoProDataset(str(gopro_root), indices=0)


def test_lazy_init_scans_at_the_first_use(tmp_path, gopro_root):
    dataset = GoProDataset(str(tmp_path / 'absent'), lazy_init=True)
    dataset.data_root = str(gopro_root)
    dataset.full_init()
    assert len(dataset) == 6


def test_gopro_reads_the_recorded_severity(gopro_root):
    lines = [dict(key=f'{FIRST}/00000{i}', severity='mild', extent=3.0) for i in (1, 2)]
    path = gopro_root / 'train' / 'records.jsonl'
    path.write_text('\n'.join(json.dumps(line) for line in lines))
    dataset = GoProDataset(str(gopro_root))
    assert [dataset[i]['severity'] for i in range(3)] == ['mild', 'mild', None]
    other = gopro_root / 'measured.jsonl'
    other.write_text(json.dumps(dict(key=f'{FIRST}/000001', severity='severe')))
    assert GoProDataset(str(gopro_root), records=str(other))[0]['severity'] == 'severe'
    path.write_text('{"key": 1}')
    with pytest.raises(UserError, match=r'records\.jsonl'):
        GoProDataset(str(gopro_root))


@pytest.mark.parametrize(
    ('fields', 'warned'),
    [
        (dict(extent=3.0), True),
        (dict(extent=3.0, share=0.06), False),
        (dict(), False),  # written by the user
    ],
)
def test_names_by_older_ranges_are_kept_and_reported(gopro_root, caplog, fields, warned):
    path = gopro_root / 'measured.jsonl'
    path.write_text(json.dumps(dict(key=f'{FIRST}/000001', severity='mild', **fields)))
    with mmengine_log(caplog):
        dataset = GoProDataset(str(gopro_root), records=str(path))
    assert dataset[0]['severity'] == 'mild'
    messages = [record.message for record in caplog.records if record.levelname == 'WARNING']
    assert len(messages) == warned
    assert all(f"severities in '{path}' were named by the ranges" in text for text in messages)


def test_records_tell_the_severity_of_any_pairs(tmp_path, write_image):
    for name in ('input/a', 'input/b', 'target/a', 'target/b'):
        write_image(tmp_path / f'{name}.png')
    path = tmp_path / 'measured.jsonl'
    path.write_text('{"key": "b", "severity": "severe"}\n')
    dataset = PairedFolderDataset(str(tmp_path), records=str(path))
    assert [dataset[i]['severity'] for i in range(2)] == [None, 'severe']
    path.write_text('{"key": "c", "severity": "severe"}\n')
    with pytest.raises(
        UserError, match=r"belong to other pairs \(first record 'c', first pair 'a'\)"
    ):
        PairedFolderDataset(str(tmp_path), records=str(path))
    with pytest.raises(UserError, match=r"records='.*absent' does not exist"):
        PairedFolderDataset(str(tmp_path), records=str(tmp_path / 'absent'))


@pytest.mark.parametrize(
    ('split', 'blur_dir', 'sharp_dir'), [('', 'input', 'target'), ('train', 'blur', 'sharp')]
)
def test_folder_pairs_match_by_name_not_order(tmp_path, write_image, split, blur_dir, sharp_dir):
    folder = tmp_path / split
    # in a plain sort, the suffix would change the order of 'a' and 'a-2'
    for seed, name in enumerate(('a', 'a-2', 'deep/er/a')):
        write_image(folder / blur_dir / f'{name}.png', seed=seed)
        write_image(folder / sharp_dir / f'{name}.PNG', seed=50 + seed)
    write_image(folder / blur_dir / '._a.png')
    (folder / blur_dir / 'notes.txt').write_text('not an image')
    dataset = PairedFolderDataset(str(tmp_path), blur_dir, sharp_dir, split)
    samples = [dataset[i] for i in range(len(dataset))]
    assert [sample['key'] for sample in samples] == ['a', 'a-2', 'deep/er/a']
    for sample in samples:
        assert sample['gt_path'] == str(folder / sharp_dir / f'{sample["key"]}.PNG')
        assert sample['img_path'] == str(folder / blur_dir / f'{sample["key"]}.png')


def test_missing_root_names_folder_and_variable(tmp_path):
    with pytest.raises(UserError, match=r"absent' does not exist.*data_root.*GOPRO_ROOT"):
        GoProDataset(str(tmp_path / 'absent'))
    with pytest.raises(UserError, match='PAIRS_ROOT'):
        PairedFolderDataset(str(tmp_path / 'absent'))


@pytest.mark.parametrize(
    ('make', 'split', 'message'),
    [
        (None, 'val', r"no folder 'val' \(it holds test, train\)"),
        ('val', 'val', r"val' is empty.*GOPRO_ROOT"),
        ('val/.cache', 'val', 'no sequence folder'),
        ('train/A/blur', 'train', r"no folder 'sharp' \(it holds blur\); arrange the images"),
        ('train/A/blur_gamma', 'train', r"no folder 'blur' \(.*\); set blur_key='blur_gamma'"),
    ],
)
def test_missing_or_empty_folders(gopro_root, make, split, message):
    if make:
        (gopro_root / make).mkdir(parents=True)
    with pytest.raises(UserError, match=message):
        GoProDataset(str(gopro_root), split)


def test_unknown_blur_key(gopro_root):
    with pytest.raises(UserError, match="blur_key='blury' is unknown; use 'blur' or 'blur_gamma'"):
        GoProDataset(str(gopro_root), blur_key='blury')


def test_faults_of_folder_pairs(tmp_path, write_image):
    write_image(tmp_path / 'input' / 'a.png')
    with pytest.raises(UserError, match=r"no folder 'target' \(it holds input\); set sharp_dir"):
        PairedFolderDataset(str(tmp_path))
    (tmp_path / 'target').mkdir()
    with pytest.raises(UserError, match=r"target' has no image \(it holds nothing\)"):
        PairedFolderDataset(str(tmp_path))
    write_image(tmp_path / 'target' / 'a.png')
    write_image(tmp_path / 'input' / 'a.bmp')
    with pytest.raises(UserError, match='differ only in their suffix'):
        PairedFolderDataset(str(tmp_path))


def test_unpaired_images_are_counted_and_named(gopro_root):
    (gopro_root / 'train' / FIRST / 'sharp' / '000002.png').unlink()
    (gopro_root / 'train' / FIRST / 'blur' / '000003.png').unlink()
    with pytest.raises(UserError, match=r'2 images .*blur/000002\.png.*sharp/000003\.png'):
        GoProDataset(str(gopro_root))


def test_pipeline_errors_name_the_file(gopro_root):
    def broken(results):
        raise KeyError('mask')

    dataset = GoProDataset(str(gopro_root), pipeline=[broken])
    with pytest.raises(UserError, match=r"000001\.png' \(KeyError: 'mask'\)"):
        dataset[0]
