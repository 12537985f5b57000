import copy
import hashlib
import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from torch.utils.data import DataLoader

from mmspd.datasets import (
    GoProDataset,
    HIDEDataset,
    LoadImagePair,
    PairedFolderDataset,
    RealBlurDataset,
    SeededSampler,
)
from mmspd.datasets.packs import pack as pack_module
from mmspd.datasets.packs.writer import plan_pack, write_pack
from mmspd.errors import UserError
from mmspd.registry import import_sibling

GOPRO = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets' / 'gopro.py'
PAIRS = 6

TRAIN = [
    dict(type='mmspd.LoadImagePair'),
    dict(type='mmagic.PairedRandomCrop', gt_patch_size=24),
    dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='horizontal'),
    dict(type='mmagic.RandomTransposeHW', keys=['img', 'gt'], transpose_ratio=0.5),
    dict(type='mmagic.PackInputs', meta_keys=['key', 'severity']),
]


def make_pack(dataset, folder):
    """Pack the pairs of a dataset and return the pack's path."""
    plan = plan_pack(dataset, folder)
    write_pack(plan)
    return plan.path


def digest(path):
    return hashlib.sha256((path / 'pixels.npy').read_bytes()).hexdigest()


@pytest.fixture
def pack(root, tmp_path):
    """The pack of the pairs. The test fails if the pack is changed."""
    path = make_pack(PairedFolderDataset(str(root)), tmp_path / 'packs')
    before = digest(path)
    yield path
    if path.is_dir():
        assert digest(path) == before


def epoch(dataset, workers):
    """All samples of a seeded epoch."""
    import_sibling('mmagic')
    sampler = SeededSampler(dataset, shuffle=True, seed=3)
    return list(DataLoader(dataset, 1, sampler=sampler, num_workers=workers, collate_fn=list))


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 2])
def test_an_epoch_of_training_gives_the_same_samples(root, pack, workers):
    import_sibling('mmagic')
    raw = epoch(PairedFolderDataset(str(root), pipeline=TRAIN), 0)
    for _ in range(2):  # in-place flips of the first epoch would change the second
        read = epoch(PairedFolderDataset(str(root), pipeline=TRAIN, packed=str(pack)), workers)
        assert len(read) == len(raw) == PAIRS
        for (one,), (other,) in zip(raw, read):
            assert one['inputs'].equal(other['inputs'])
            assert one['data_samples'].gt_img.equal(other['data_samples'].gt_img)
            assert one['data_samples'].key == other['data_samples'].key


def test_the_dict_of_a_sample_is_that_of_the_files(root, pack):
    raw = PairedFolderDataset(str(root), pipeline=[LoadImagePair()])
    read = PairedFolderDataset(str(root), pipeline=[LoadImagePair()], packed=str(pack))
    for number in range(PAIRS):
        one, other = raw[number], read[number]
        assert other.pop('place') is not None
        assert one.pop('place') is None
        for key in ('img', 'gt'):
            np.testing.assert_array_equal(one.pop(key), other[key])
            other.pop(key)[:] = 0  # a writable copy
        assert one == other


def test_whole_images_become_tensors_of_their_own(root, pack):
    import_sibling('mmagic')
    pipeline = [TRAIN[0], dict(TRAIN[2], flip_ratio=1.0), TRAIN[-1]]
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # torch warns about read-only memory
        sample = PairedFolderDataset(str(root), pipeline=pipeline, packed=str(pack))[1]
    raw = PairedFolderDataset(str(root), pipeline=pipeline)[1]
    assert sample['inputs'].equal(raw['inputs'])
    sample['inputs'].zero_()
    sample['data_samples'].gt_img.zero_()


def test_only_a_crop_sees_the_memory_of_the_file(root, pack):
    class Darken:
        gt_patch_size = 24

        def __call__(self, results):
            results['img'][:24, :24] //= 2
            return results

    import_sibling('mmagic')
    read = PairedFolderDataset(str(root), pipeline=[LoadImagePair(), Darken()], packed=str(pack))
    with pytest.raises(UserError, match=r"input/0\.png' \(ValueError: .*read-only"):
        read[0]
    images = read.get_data_info(0)['place'].images()
    assert not any(image.flags.owndata or image.flags.writeable for image in images)
    shapes = []

    def look(results):
        shapes.append((results['img'].base is None, results['img'].shape))
        return results

    PairedFolderDataset(str(root), pipeline=[*TRAIN[:2], look], packed=str(pack))[0]
    assert shapes == [(True, (24, 24, 3))]


@pytest.mark.parametrize(
    ('build', 'name'),
    [
        (lambda root: GoProDataset(root, 'test', 'blur_gamma'), 'gopro_test_blur_gamma'),
        (lambda root: RealBlurDataset(root, 'R', 'test'), 'realblur_R_test'),
        (lambda root: HIDEDataset(root, 'train'), 'hide_train'),
        (lambda root: PairedFolderDataset(root, 'a/blur', 'a/sharp'), 'pairs_a-blur_a-sharp'),
    ],
)
def test_every_layout_has_a_name_of_its_own(tmp_path, write_image, build, name):
    for part in ('GT', 'train', 'a/blur', 'a/sharp', 'test/s/blur_gamma', 'test/s/sharp'):
        write_image(tmp_path / 'root' / part / '1.png', seed=len(part))
    lines = 'GT/1.png a/blur/1.png 90\n'
    (tmp_path / 'root' / 'RealBlur_R_test_list.txt').write_text(lines)
    raw = build(str(tmp_path / 'root'))
    path = make_pack(raw, tmp_path / 'packs')
    assert path.name == name
    read = copy.copy(raw)
    read.packed = str(tmp_path / 'packs')
    assert [pair._replace(place=None) for pair in read.list_pairs()] == raw.list_pairs()


def test_severities_survive(gopro_root, tmp_path):
    records = gopro_root / 'train' / 'records.jsonl'
    records.write_text('{"key": "GOPR0384_11_00/000001", "severity": "mild"}\n')
    make_pack(GoProDataset(str(gopro_root)), tmp_path / 'packs')
    shutil.rmtree(gopro_root)
    dataset = GoProDataset(str(gopro_root), packed=str(tmp_path / 'packs'))
    assert [dataset[i]['severity'] for i in range(2)] == ['mild', None]


def test_a_dataset_pickles_without_its_pixels(root, pack):
    raw = PairedFolderDataset(str(root))
    read = PairedFolderDataset(str(root), pipeline=[LoadImagePair()], packed=str(pack))
    expected = read[0]['img'].copy()  # maps the file
    for other in (pickle.loads(pickle.dumps(read)), copy.deepcopy(read)):
        np.testing.assert_array_equal(other[0]['img'], expected)
    assert len(pickle.dumps(read)) < len(pickle.dumps(raw)) + 300 * PAIRS + 1000
    assert len(pickle.dumps(read)) < (pack / 'pixels.npy').stat().st_size / 10


def test_a_class_without_a_layout_is_refused(root, tmp_path):
    class Other(PairedFolderDataset):
        LAYOUT = ''

    with pytest.raises(UserError, match='Other has no LAYOUT and cannot be packed; define LAYOUT'):
        plan_pack(Other(str(root)), tmp_path / 'packs')


def test_a_missing_pack_names_the_command(gopro_root, tmp_path):
    with pytest.raises(
        UserError,
        match=r"pack '.*packs/gopro_train_blur' does not exist; make it with mmspd "
        r"pack \S+GOPRO_Large \S+packs --blur-key blur, or set packed='raw'",
    ):
        GoProDataset(str(gopro_root), packed=str(tmp_path / 'packs'))


def test_a_file_is_no_pack(root, tmp_path):
    (tmp_path / 'old.pack').write_bytes(b'MMSPD')
    with pytest.raises(UserError, match=r"old\.pack' is a file, but a pack is a folder; make the"):
        PairedFolderDataset(str(root), packed=str(tmp_path / 'old.pack'))


def test_wrong_data_is_not_read_by_mistake(root, pack, tmp_path, write_image):
    with pytest.raises(UserError, match=r"contains \{'layout': 'pairs', .*selects .*'hide'"):
        HIDEDataset(str(root), packed=str(pack))
    # another folder with the same layout and choices
    other = tmp_path / 'other'
    shutil.copytree(root, other)
    assert len(PairedFolderDataset(str(other), packed=str(pack))) == PAIRS
    write_image(other / 'target' / '5.png', (50, 51), seed=99)
    with pytest.raises(
        UserError, match=r"'target/5\.png' in '.*other' differs from the image in the pack"
    ):
        PairedFolderDataset(str(other), packed=str(pack))
    # the images may be absent
    shutil.rmtree(other)
    assert len(PairedFolderDataset(str(other), packed=str(pack.parent))) == PAIRS


def test_a_pack_that_is_replaced_during_a_run_is_noticed(root, pack, write_image):
    dataset = PairedFolderDataset(str(root), pipeline=[LoadImagePair()], packed=str(pack))
    write_image(root / 'input' / '0.png', seed=77)
    make_pack(PairedFolderDataset(str(root)), pack.parent)
    pack_module._map_pixels.cache_clear()  # like a new worker
    with pytest.raises(UserError, match='replaced or removed during the run; start the run again'):
        dataset[0]
    shutil.rmtree(pack)
    with pytest.raises(UserError, match='was replaced or removed during the run'):
        dataset[0]


@pytest.mark.parametrize(
    ('name', 'damage', 'message'),
    [
        (
            'index.json',
            lambda data: data[:-1],
            r"bad' is a damaged pack or no pack \(Expect.*; make the",
        ),
        ('index.json', lambda data: b'{"images": []}', r"damaged pack or no pack \('pairs'\)"),
        ('pixels.npy', lambda data: data[:-1], r'is a damaged pack or no pack \(mmap length'),
        ('pixels.npy', lambda data: b'\x89PNG' + data[4:], r'is a damaged pack or no pack'),
        ('pixels.npy', lambda data: data.replace(b'|u1', b'|i1', 1), r"pixels\.npy' has int8 val"),
        (
            'index.json',
            lambda data: data.replace(b'"height": 33', b'"height": 34'),
            r'the index needs \d+ uint8 values; make the pack again',
        ),
    ],
)
def test_damaged_files_are_refused_at_once(root, pack, name, damage, message):
    bad = pack.with_name('bad')
    shutil.copytree(pack, bad)
    (bad / name).write_bytes(damage((bad / name).read_bytes()))
    with pytest.raises(UserError, match=message):
        PairedFolderDataset(str(root), packed=str(bad))


def test_one_environment_variable_switches(root, monkeypatch):
    monkeypatch.delenv('MMSPD_PACKED', raising=False)
    assert Config.fromfile(GOPRO).train_dataloader.dataset.packed == 'raw'
    monkeypatch.setenv('MMSPD_PACKED', 'packs')
    assert Config.fromfile(GOPRO).train_dataloader.dataset.packed == 'packs'
    for off in ('raw', None, ''):
        assert PairedFolderDataset(str(root), packed=off)[0]['place'] is None
