import copy
import hashlib
import os
import pickle
import shutil
import warnings

import numpy as np
import pytest
from mmengine.config import Config
from torch.utils.data import DataLoader

import mmspd  # noqa: F401
from mmspd.datasets import (
    GoProDataset,
    HIDEDataset,
    LoadImagePair,
    PairedFolderDataset,
    RealBlurDataset,
    SeededSampler,
)
from mmspd.datasets.packs import pack as packed
from mmspd.datasets.packs.pack import read_pack, verify_pack
from mmspd.datasets.packs.plan import plan_pack
from mmspd.datasets.packs.writer import write_pack
from mmspd.datasets.paired import Pair, PairedImageDataset
from mmspd.errors import UserError
from mmspd.registry import import_sibling

SIZES = ((40, 48), (33, 57), (64, 31), (40, 48), (50, 50))

TRAIN = [
    dict(type='mmspd.LoadImagePair'),
    dict(type='mmagic.PairedRandomCrop', gt_patch_size=24),
    dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='horizontal'),
    dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='vertical'),
    dict(type='mmagic.RandomTransposeHW', keys=['img', 'gt'], transpose_ratio=0.5),
    dict(type='mmagic.PackInputs', meta_keys=['key', 'severity']),
]


def make_pack(dataset, folder, **how):
    """Pack what a dataset reads and return the pack's path."""
    plan = plan_pack(dataset, folder, **how)
    write_pack(plan)
    return plan.path


@pytest.fixture
def root(tmp_path, write_image):
    """Pairs of several sizes, as RealBlur has them."""
    for number, size in enumerate(SIZES):
        for part, name in enumerate(('input', 'target')):
            write_image(tmp_path / 'data' / name / f'{number}.png', size, seed=2 * number + part)
    return tmp_path / 'data'


@pytest.fixture
def pack(root, tmp_path):
    """The pack of these pairs, which nobody may write."""
    path = make_pack(PairedFolderDataset(str(root)), tmp_path / 'packs')
    path.chmod(0o444)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    yield path
    if path.is_file():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def epoch(dataset, workers):
    """All samples of a seeded epoch."""
    import_sibling('mmagic')
    sampler = SeededSampler(dataset, shuffle=True, seed=3)
    return list(DataLoader(dataset, 1, sampler=sampler, num_workers=workers, collate_fn=list))


@pytest.mark.parametrize('workers', [0, 2])
def test_an_epoch_of_training_gives_the_same_samples_and_leaves_the_file(root, pack, workers):
    import_sibling('mmagic')
    raw = epoch(PairedFolderDataset(str(root), pipeline=TRAIN), 0)
    for number in range(2):  # in-place flips of a first epoch would show in the second
        read = epoch(PairedFolderDataset(str(root), pipeline=TRAIN, packed=str(pack)), workers)
        assert len(read) == len(raw) == len(SIZES)
        for (one,), (other,) in zip(raw, read):
            assert one['inputs'].equal(other['inputs']), number
            assert one['data_samples'].gt_img.equal(other['data_samples'].gt_img)
            assert one['data_samples'].key == other['data_samples'].key


def test_the_dict_of_a_sample_is_that_of_the_files(root, pack):
    raw = PairedFolderDataset(str(root), pipeline=[LoadImagePair()])
    read = PairedFolderDataset(str(root), pipeline=[LoadImagePair()], packed=str(pack))
    for number in range(len(SIZES)):
        one, other = raw[number], read[number]
        assert other.pop('place') is not None
        assert one.pop('place') is None
        for key in ('img', 'gt'):
            np.testing.assert_array_equal(one.pop(key), other[key])
            other.pop(key)[:] = 0  # it is the caller's own
        assert one == other


def test_whole_images_become_tensors_of_their_own(root, pack):
    import_sibling('mmagic')
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # torch warns of memory that it must not write
        dataset = PairedFolderDataset(str(root), pipeline=[TRAIN[0], TRAIN[-1]], packed=str(pack))
        sample = dataset[1]
    raw = PairedFolderDataset(str(root), pipeline=[TRAIN[0], TRAIN[-1]])[1]
    assert sample['inputs'].equal(raw['inputs'])
    sample['inputs'].zero_()
    sample['data_samples'].gt_img.zero_()


def test_steps_before_the_crop_work_on_copies(root, pack):
    import_sibling('mmagic')
    pipeline = [TRAIN[0], dict(TRAIN[2], flip_ratio=1.0), TRAIN[1]]
    samples = []
    for source in ('raw', str(pack)):
        np.random.seed(1)
        samples.append(PairedFolderDataset(str(root), pipeline=pipeline, packed=source)[2])
    np.testing.assert_array_equal(samples[0]['img'], samples[1]['img'])
    np.testing.assert_array_equal(samples[0]['gt'], samples[1]['gt'])


def test_a_crop_that_writes_is_refused(root, pack):
    class Darken:
        gt_patch_size = 24

        def __call__(self, results):
            results['img'][:24, :24] //= 2
            return results

    dataset = PairedFolderDataset(str(root), pipeline=[LoadImagePair(), Darken()], packed=str(pack))
    with pytest.raises(UserError, match=r"input/0\.png': ValueError: .*read-only"):
        dataset[0]


def test_a_crop_reads_no_more_than_itself(root, pack, monkeypatch):
    """The crop sees the file's memory, and what follows a copy of the crop alone."""
    import_sibling('mmagic')
    seen = []

    def look(results):
        seen.append((results['img'].base is None, results['img'].shape))
        return results

    PairedFolderDataset(str(root), pipeline=[*TRAIN[:2], look], packed=str(pack))[0]
    assert seen == [(True, (24, 24, 3))]
    place = PairedFolderDataset(str(root), packed=str(pack))[0]['place']
    assert not any(image.flags.owndata or image.flags.writeable for image in place.images())


@pytest.mark.parametrize(
    ('build', 'name'),
    [
        (lambda root: GoProDataset(root, 'test', 'blur_gamma'), 'gopro_test_blur_gamma.pack'),
        (lambda root: RealBlurDataset(root, 'R', 'test'), 'realblur_R_test.pack'),
        (lambda root: HIDEDataset(root, 'train'), 'hide_train.pack'),
        (
            lambda root: PairedFolderDataset(root, 'a/blur', 'a/sharp'),
            'pairs_a-blur_a-sharp.pack',
        ),
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
    one, other = raw.list_pairs(), read.list_pairs()
    assert [pair._replace(place=None) for pair in other] == one


def test_severities_survive_and_records_come_first(gopro_root, tmp_path):
    records = gopro_root / 'train' / 'records.jsonl'
    records.write_text('{"key": "GOPR0384_11_00/000001", "severity": "mild"}\n')
    make_pack(GoProDataset(str(gopro_root)), tmp_path / 'packs')
    shutil.rmtree(gopro_root)
    dataset = GoProDataset(str(gopro_root), packed=str(tmp_path / 'packs'))
    assert [dataset[i]['severity'] for i in range(2)] == ['mild', None]
    other = tmp_path / 'other.jsonl'
    other.write_text('{"key": "GOPR0384_11_00/000002", "severity": "severe"}\n')
    dataset = GoProDataset(str(gopro_root), packed=str(tmp_path / 'packs'), records=str(other))
    assert [dataset[i]['severity'] for i in range(2)] == ['mild', 'severe']


def test_a_dataset_pickles_without_its_pixels(root, pack):
    raw = PairedFolderDataset(str(root))
    read = PairedFolderDataset(str(root), pipeline=[LoadImagePair()], packed=str(pack))
    expected = read[0]['img'].copy()  # the file is mapped now
    for twin in (pickle.loads(pickle.dumps(read)), copy.deepcopy(read)):
        np.testing.assert_array_equal(twin[0]['img'], expected)
    assert len(pickle.dumps(read)) < len(pickle.dumps(raw)) + 300 * len(SIZES) + 1000
    assert len(pickle.dumps(read)) < pack.stat().st_size / 10


def test_a_photo_without_a_blurry_one_is_stored_once(tmp_path, write_image):
    class Photos(PairedImageDataset):
        def describe(self):
            return 'photos'

        def choices(self):
            return dict(layout='photos')

        def find_pairs(self):
            return [Pair(f.stem, f, f) for f in sorted(self.check_root().iterdir())]

    for number in range(3):
        write_image(tmp_path / 'photos' / f'{number}.png', (64, 64), seed=number)
    raw = Photos(str(tmp_path / 'photos'), pipeline=[LoadImagePair()])
    path = make_pack(raw, tmp_path / 'packs')
    assert 3 * 64 * 64 * 3 < path.stat().st_size < 5 * 64 * 64 * 3
    assert verify_pack(path) == []
    read = Photos(str(tmp_path / 'photos'), pipeline=[LoadImagePair()], packed=str(path))
    for dataset in (raw, read):
        sample = dataset[1]
        np.testing.assert_array_equal(sample['img'], sample['gt'])
        sample['img'][:] = 0
        assert sample['gt'].any()


def test_a_class_without_choices_is_refused(root, tmp_path):
    class Other(PairedFolderDataset):
        choices = PairedImageDataset.choices

    with pytest.raises(UserError, match='Other cannot be packed'):
        plan_pack(Other(str(root)), tmp_path / 'packs')


def test_a_missing_pack_names_the_command(gopro_root, tmp_path):
    with pytest.raises(
        UserError,
        match=r"no pack '.*packs/gopro_train_blur\.pack': make it with python tools/"
        r"dataset_converters/pack\.py \S+GOPRO_Large \S+packs --blur-key blur, or set packed='raw'",
    ):
        GoProDataset(str(gopro_root), packed=str(tmp_path / 'packs'))


def test_wrong_data_is_not_read_by_mistake(root, pack, tmp_path, write_image):
    with pytest.raises(UserError, match=r"holds \{'layout': 'pairs', .*asks for .*'hide'"):
        HIDEDataset(str(root), packed=str(pack))
    # another folder with the same layout and choices
    other = tmp_path / 'other'
    shutil.copytree(root, other)
    assert len(PairedFolderDataset(str(other), packed=str(pack))) == len(SIZES)
    write_image(other / 'target' / '4.png', (50, 51), seed=99)
    with pytest.raises(UserError, match=r"not made from '.*other' as it is, 'target/4\.png'"):
        PairedFolderDataset(str(other), packed=str(pack))
    (other / 'target' / '4.png').unlink()
    with pytest.raises(UserError, match='pack it again, or correct data_root or packed'):
        PairedFolderDataset(str(other), packed=str(pack))
    # but the images need not be there at all
    shutil.rmtree(other)
    assert len(PairedFolderDataset(str(other), packed=str(pack.parent))) == len(SIZES)


def test_a_pack_that_is_replaced_during_a_run_is_noticed(root, pack, write_image):
    dataset = PairedFolderDataset(str(root), pipeline=[LoadImagePair()], packed=str(pack))
    write_image(root / 'input' / '0.png', SIZES[0], seed=77)
    make_pack(PairedFolderDataset(str(root)), pack.parent)
    packed._map.cache_clear()  # as in a worker that starts now
    with pytest.raises(UserError, match='was made anew meanwhile: start the run again'):
        dataset[0]
    pack.unlink()
    packed._map.cache_clear()
    with pytest.raises(UserError, match='cannot read the pack .*: No such file'):
        dataset[0]


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda data: b'\x89PNG' + data[4:], r'is no pack: correct the path'),
        (lambda data: b'mmspd', r'is no pack'),
        (lambda data: data[:8] + b'\x09' + data[9:], r'is a pack of version 9, this is 1'),
        (lambda data: data[:-1], r'has \d+ of \d+ bytes: make it again'),
        (lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], r'index of .* is damaged'),
    ],
)
def test_damaged_files_are_refused_at_once(root, pack, damage, message):
    bad = pack.with_name('bad.pack')
    bad.write_bytes(damage(pack.read_bytes()))
    with pytest.raises(UserError, match=message):
        PairedFolderDataset(str(root), packed=str(bad))


def test_verify_finds_a_flipped_byte(pack):
    assert verify_pack(pack) == []
    bad = pack.with_name('bad.pack')
    shutil.copy(pack, bad)
    bad.chmod(0o644)
    image = read_pack(pack).index.pairs[3].sharp
    with open(bad, 'r+b') as file:
        file.seek(image.offset + 100)
        byte = file.read(1)[0]
        file.seek(image.offset + 100)
        file.write(bytes([byte ^ 16]))
    assert verify_pack(bad) == ['target/3.png']


def test_images_start_on_pages(pack):
    pairs = read_pack(pack).index.pairs
    assert all(image.offset % 4096 == 0 for pair in pairs for image in pair.images)
    assert [(pair.height, pair.width) for pair in pairs] == list(SIZES)


def test_one_environment_variable_switches(root, pack, tmp_path, monkeypatch):
    config = tmp_path / 'config.py'
    config.write_text(f"data = dict(data_root=r'{root}', packed='{{{{$MMSPD_PACKED:raw}}}}')\n")
    monkeypatch.delenv('MMSPD_PACKED', raising=False)
    raw = PairedFolderDataset(**Config.fromfile(config).data)
    monkeypatch.setenv('MMSPD_PACKED', str(pack.parent))
    read = PairedFolderDataset(**Config.fromfile(config).data)
    assert raw[0]['place'] is None
    assert read[0]['place'].path == str(pack)
    for off in (None, ''):
        assert PairedFolderDataset(str(root), packed=off)[0]['place'] is None


def test_real_pairs(shared_data, tmp_path):
    root = str(shared_data / 'data' / 'pairs' / 'reds_320x180' / 'train')
    raw = PairedFolderDataset(root, 'blur', 'sharp', pipeline=[LoadImagePair()])
    path = make_pack(raw, tmp_path, workers=2)
    read = PairedFolderDataset(root, 'blur', 'sharp', pipeline=[LoadImagePair()], packed=str(path))
    assert len(read) == 20
    for number in (0, 7, 19):
        np.testing.assert_array_equal(raw[number]['img'], read[number]['img'])
        np.testing.assert_array_equal(raw[number]['gt'], read[number]['gt'])
    assert os.listdir(tmp_path) == [path.name]
