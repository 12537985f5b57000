"""Blur synthesis in the pipeline, on folders of sharp photos."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from skimage import data
from torch.utils.data import DataLoader

from mmspd.datasets import (
    GoProDataset,
    LoadImagePair,
    SeededSampler,
    SharpFolderDataset,
    SynthesizeBlur,
)
from mmspd.datasets.image_io import read_rgb
from mmspd.datasets.transforms import loading
from mmspd.errors import UserError
from mmspd.evaluation.metrics import psnr
from mmspd.registry import DATASETS
from mmspd.utils.severity import SEVERITIES

CONFIG = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets' / 'sharp_photos.py'


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """Four sharp photos of 180x120 pixels, one of them in a sub-folder."""
    root = tmp_path_factory.mktemp('photos')
    (root / 'trip').mkdir()
    for number, name in enumerate(('a', 'b', 'c', 'trip/d')):
        photo = data.coffee()[50 * number :, 40 * number :]
        photo = cv2.resize(photo, (180, 120), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(root / f'{name}.png'), photo[..., ::-1])
    return root


@pytest.fixture
def sample(photos):
    """A read-only photo, like a photo of a pack."""
    photo = read_rgb(photos / 'a.png')
    photo.setflags(write=False)
    return dict(gt=photo, gt_path='a.png')


def make(sample, seed=0, **arguments):
    """Blur a photo with these arguments of the transform."""
    np.random.seed(seed)
    return SynthesizeBlur(**arguments)(dict(sample))


def place_of(crop, photo):
    """Return the position (top, left) of a crop in a photo."""
    windows = np.lib.stride_tricks.sliding_window_view(photo, crop.shape)[:, :, 0]
    (corner,) = np.argwhere((windows == crop).all(axis=(2, 3, 4)))
    return corner


@pytest.mark.slow
def test_crops_of_one_photo_and_their_blur(sample):
    places = set()
    for seed in range(6):
        made = make(sample, seed, gt_patch_size=48)
        assert made['img'].shape == made['gt'].shape == (48, 48, 3)
        assert made['img'].dtype == made['gt'].dtype == np.uint8
        assert 12 < psnr(made['img'], made['gt']) < 45
        places.add(tuple(place_of(made['gt'], sample['gt'])))
        for key in ('img', 'gt'):
            made[key][:] = 0  # MMagic's Flip writes in place
    assert len(places) == 6
    assert sample['gt'].any()


def test_severity_keeps_its_meaning_for_the_whole_photo(sample):
    low, high = (share * np.sqrt(120 * 180) for share in SEVERITIES['severe'])
    made = [make(sample, seed, gt_patch_size=32, severities=dict(severe=1)) for seed in range(20)]
    assert {sample['severity'] for sample in made} == {'severe'}
    # in the range of the photo; the range of the crop would be a fifth of it
    assert low < np.mean([sample['blur_extent'] for sample in made]) < high
    made = [make(sample, seed, gt_patch_size=32, extent=(2.3, 2.3)) for seed in range(10)]
    assert {sample['severity'] for sample in made} == {'moderate'}
    assert np.mean([sample['blur_extent'] for sample in made]) == pytest.approx(2.3, rel=0.2)


def test_severities_are_drawn_by_weight(sample):
    def count(**arguments):
        transform = SynthesizeBlur(32, kind='panning', **arguments)
        np.random.seed(0)
        return Counter(transform(dict(sample))['severity'] for _ in range(300))

    counts = count(severities=dict(mild=1, moderate=0, severe=3))
    assert set(counts) == {'mild', 'severe'}
    assert counts['severe'] == pytest.approx(225, abs=30)
    assert min(count().values()) > 70  # equal weights by default
    assert len(count()) == 3


def test_the_other_arguments_reach_the_blur(sample):
    plain = make(sample, gt_patch_size=120, extent=(9, 9), noise=(0, 0))
    for change in (
        dict(kind='panning'),
        dict(moving_regions=3),
        dict(noise=(0.05, 0.05)),
        dict(highlight_gain=(9, 9)),
    ):
        made = make(sample, **{**dict(gt_patch_size=120, extent=(9, 9), noise=(0, 0)), **change})
        np.testing.assert_array_equal(made['gt'], plain['gt'])
        assert (made['img'] != plain['img']).mean() > 0.01


def test_without_a_crop_the_whole_photo_is_blurred(sample):
    made = make(sample)
    assert made['img'].shape == (120, 180, 3)
    np.testing.assert_array_equal(made['gt'], sample['gt'])


def test_the_blur_of_pairs_is_replaced(gopro_root):
    pipeline = [LoadImagePair(), SynthesizeBlur(32)]
    made = GoProDataset(str(gopro_root), pipeline=pipeline)[0]
    loaded = GoProDataset(str(gopro_root), pipeline=[LoadImagePair()])[0]
    assert place_of(made['gt'], loaded['gt']) is not None
    assert made['severity'] in SEVERITIES
    light = [np.mean((made[key] / 255) ** 2.2) for key in ('img', 'gt')]
    assert light[0] == pytest.approx(light[1], rel=0.1)
    assert psnr(made['img'], made['gt']) > psnr(loaded['img'], loaded['gt'])


def epochs(root, workers):
    """Return all samples of two epochs."""
    dataset = SharpFolderDataset(str(root), pipeline=[LoadImagePair(), SynthesizeBlur(40)])
    sampler = SeededSampler(dataset, seed=3)
    loader = DataLoader(dataset, 2, sampler=sampler, num_workers=workers, collate_fn=list)
    samples = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        samples += [(s['key'], s['img'].tobytes(), s['blur_extent']) for b in loader for s in b]
    return samples


@pytest.mark.slow
def test_every_epoch_is_fresh_and_workers_change_nothing(photos):
    samples = epochs(photos, workers=0)
    assert epochs(photos, workers=2) == samples
    assert len({image for _, image, _ in samples}) == len({extent for *_, extent in samples}) == 8


def test_a_sharp_photo_is_decoded_once(photos, monkeypatch):
    read = []
    monkeypatch.setattr(loading, 'read_rgb', lambda path: read.append(path) or read_rgb(path))
    made = LoadImagePair()(SharpFolderDataset(str(photos))[0])
    assert len(read) == 1
    made['img'][:] = 0
    assert made['gt'].any()


def test_folder_of_sharp_photos(photos, tmp_path, write_image):
    dataset = SharpFolderDataset(str(photos))
    assert [dataset[i]['key'] for i in range(len(dataset))] == ['a', 'b', 'c', 'trip/d']
    assert dataset[3]['img_path'] == dataset[3]['gt_path'] == str(photos / 'trip' / 'd.png')
    for name in ('s1/sharp/0', 's1/blur/0', 's2/sharp/0', 's2/Blur_gamma/0'):
        write_image(tmp_path / f'{name}.png')
    frames = SharpFolderDataset(str(tmp_path), only_in='sharp')
    assert [frames[i]['key'] for i in range(len(frames))] == ['s1/sharp/0', 's2/sharp/0']
    frames = SharpFolderDataset(str(tmp_path), only_in='sharp', split='s1')
    assert [frames[i]['key'] for i in range(len(frames))] == ['sharp/0']
    assert frames.pack_name == 'sharp_s1_sharp'
    assert frames.pack_options == ' --sharp-photos sharp --split s1'
    assert SharpFolderDataset(str(photos)).pack_name == 'sharp'


def test_bad_folders_are_refused(photos, tmp_path, write_image):
    with pytest.raises(UserError, match=r"absent' does not exist.*SHARP_ROOT"):
        SharpFolderDataset(str(tmp_path / 'absent'))
    with pytest.raises(UserError, match=r"no folder 'val' \(it holds a\.png"):
        SharpFolderDataset(str(photos), split='val')
    (tmp_path / 'notes.txt').write_text('')
    with pytest.raises(UserError, match=r'has no photo \(it holds notes\.txt\)'):
        SharpFolderDataset(str(tmp_path))
    write_image(tmp_path / 's1' / 'blur' / '0.png')
    with pytest.raises(UserError, match=r"folder of blurry photos \(s1/blur/0\).*only_in='sharp'"):
        SharpFolderDataset(str(tmp_path))
    with pytest.raises(UserError, match="has no photo in a folder 'sharp'"):
        SharpFolderDataset(str(tmp_path), only_in='sharp')


def test_a_pipeline_that_blurs_nothing_is_refused(photos):
    with pytest.raises(UserError, match=r'no mmspd\.SynthesizeBlur.*sharp_photos\.py'):
        SharpFolderDataset(str(photos), pipeline=[dict(type='mmspd.LoadImagePair')])


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(severities=dict(mild=1), extent=(3, 5)), 'got severities and extent'),
        (
            dict(severities=dict(strong=1)),
            "severity 'strong' in weights is unknown; use mild, moderate",
        ),
        (dict(severities=dict(mild=0)), r"are \{'mild': 0\}; give weights .* with a positive sum"),
        (dict(severities=dict(mild=2, severe=-1)), 'give weights of at least 0'),
        (dict(severities={}), 'with a positive sum'),
        (dict(extent=(5, 3)), 'range MIN MAX'),
        (dict(kind='zoom'), 'one of trajectory, panning'),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        SynthesizeBlur(**arguments)


def test_small_photos_are_refused_by_name(photos, tmp_path, write_image):
    pipeline = [LoadImagePair(), SynthesizeBlur(128)]
    with pytest.raises(
        UserError, match=r"a\.png' is 180x120 pixels, smaller than the training crop of"
    ):
        SharpFolderDataset(str(photos), pipeline=pipeline)[0]
    write_image(tmp_path / 'tiny.png', size=(20, 60))
    with pytest.raises(UserError, match=r"tiny\.png': The sharp photo has only 60x20 pixels"):
        SharpFolderDataset(str(tmp_path), pipeline=[LoadImagePair(), SynthesizeBlur()])[0]


def test_base_config_gives_what_the_model_takes(photos, tmp_path, monkeypatch):
    (tmp_path / 'train').symlink_to(photos)
    (tmp_path / 'test').symlink_to(photos)
    monkeypatch.setenv('SHARP_ROOT', str(tmp_path))
    config = Config.fromfile(CONFIG)
    config.train_dataloader.dataset.pipeline[1].gt_patch_size = 64
    import mmagic.datasets.transforms  # noqa: F401

    with DefaultScope.overwrite_default_scope('mmagic'):
        train, val = (
            DATASETS.build(config[f'{part}_dataloader'].dataset)[0] for part in ('train', 'val')
        )
    for sample, size in ((train, (64, 64)), (val, (120, 180))):
        assert sample['inputs'].shape == sample['data_samples'].gt_img.shape == (3, *size)
        assert sample['data_samples'].severity in SEVERITIES
        assert sample['data_samples'].blur_extent > 0
