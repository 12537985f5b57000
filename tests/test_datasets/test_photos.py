from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from photo_files import avif, saved_by_pillow, tiff, words

from mmspd.datasets import LoadPhoto, PhotoFolderDataset, SharpFolderDataset
from mmspd.datasets.photo_io import read_photo, to_tensor
from mmspd.errors import UserError

BASE = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'datasets' / 'photos.py'


@pytest.fixture
def photos(tmp_path, write_image):
    """Two photos of different sizes, one of them in a sub-folder."""
    sizes = {'b': (8, 9), 'trip/a': (9, 9)}
    return tmp_path, {n: write_image(tmp_path / f'{n}.png', size) for n, size in sizes.items()}


def test_every_photo_is_a_sample_without_a_sharp_image(photos):
    root, images = photos
    dataset = PhotoFolderDataset(str(root), pipeline=[dict(type='mmspd.LoadPhoto')])
    samples = [dataset[index] for index in range(len(dataset))]
    assert [sample['key'] for sample in samples] == ['b', 'trip/a']
    for sample in samples:
        np.testing.assert_array_equal(sample['img'], images[sample['key']])
        assert sample['ori_img_shape'] == sample['img'].shape
        assert 'gt' not in sample
        assert 'gt_path' not in sample
    assert len(PhotoFolderDataset(str(root), indices=1)) == 1


def test_errors(photos, tmp_path, write_image):
    root, _ = photos
    with pytest.raises(UserError, match='nothing. does not exist; set .* from PHOTOS_ROOT'):
        PhotoFolderDataset(str(tmp_path / 'nothing'))
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'empty' / 'notes.txt').touch()
    with pytest.raises(UserError, match=r'empty. has no photo \(it holds notes.txt\)'):
        PhotoFolderDataset(str(tmp_path / 'empty'))
    dataset = PhotoFolderDataset(str(root), pipeline=[LoadPhoto()])
    (root / 'b.png').write_bytes(b'')
    with pytest.raises(UserError, match=r'Cannot decode .*b.png'):
        dataset[0]


def test_photos_are_restored_and_judged_by_the_stock_test_loop(photos, tmp_path, monkeypatch):
    root, _ = photos
    monkeypatch.setenv('PHOTOS_ROOT', str(root))
    config = Config.fromfile(BASE)
    config.test_dataloader.num_workers = 0
    config.test_evaluator.metrics = [dict(type='mmspd.BlurEffect', report_input=True)]
    runner = Runner(
        model=dict(
            type='mmspd.SemanticPriorDeblurrer',
            generator=dict(type='mmspd.UNet', base=4, num_res=1),
            losses=dict(loss_pix=dict(type='mmagic.L1Loss')),
        ),
        work_dir=str(tmp_path / 'work'),
        test_dataloader=config.test_dataloader,
        test_evaluator=config.test_evaluator,
        test_cfg=dict(),
        default_hooks=dict(timer=dict(type='mmengine.IterTimerHook')),
        default_scope='mmagic',
        experiment_name='photos',
    )
    assert set(runner.test()) >= {'blur-effect', 'blur-effect-input'}
    (metric,) = runner.test_evaluator.metrics
    assert [image['key'] for image in metric.per_image] == ['b', 'trip/a']


#: Photos of other kinds than 8-bit RGB.
KINDS = {
    'gray.png': saved_by_pillow([[5, 250] * 4] * 8, 'PNG'),
    'alpha.png': saved_by_pillow([[[9, 8, 7, 60]] * 8] * 8, 'PNG'),
    'palette.gif': saved_by_pillow([[0, 1] * 4] * 8, 'GIF', mode='P'),
    'cmyk.jpg': saved_by_pillow([[[9, 80, 70, 60]] * 8] * 8, 'JPEG', mode='CMYK'),
    'deep.pgm': b'P5 8 8 1023\n' + words(*range(400, 464)),
    'deep.tif': tiff([[[9, 800, 65535]] * 8] * 8, np.uint16, photometric='rgb'),
    'deep.avif': avif([[[9, 800, 1023]] * 8] * 8, 10),
}


@pytest.mark.parametrize('name', KINDS)
def test_the_network_gets_the_pixels_that_deblurring_gives_it(tmp_path, name):
    import mmagic.datasets.transforms
    import mmagic.models  # noqa: F401
    from mmagic.registry import MODELS

    (tmp_path / name).write_bytes(KINDS[name])
    dataset = Config.fromfile(BASE).test_dataloader.dataset
    with DefaultScope.overwrite_default_scope('mmagic'):
        sample = PhotoFolderDataset(str(tmp_path), pipeline=dataset.pipeline)[0]
        preprocessor = dict(type='DataPreprocessor', mean=[0.0] * 3, std=[255.0] * 3)
        batch = MODELS.build(preprocessor)(pseudo_collate([sample]), training=False)
    expected = to_tensor(read_photo(tmp_path / name).pixels)
    torch.testing.assert_close(batch['inputs'], expected, rtol=0, atol=1e-7)


def test_photos_that_differ_in_their_suffix_have_different_keys(tmp_path):
    names = ['a.png', 'b.JPG', 'b.PNG', 'b.JPG.png', 'c/b.jpg', 'd.x.png', 'e.gif', 'e']
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    dataset = PhotoFolderDataset(str(tmp_path))
    keys = {
        Path(info['img_path']).relative_to(tmp_path).as_posix(): info['key'] for info in dataset
    }
    assert keys == {
        'a.png': 'a',
        'b.JPG': 'b.JPG',
        'b.PNG': 'b.PNG',
        'b.JPG.png': 'b.JPG.png',
        'c/b.jpg': 'c/b',
        'd.x.png': 'd.x',
        'e.gif': 'e',
    }
    sharp = SharpFolderDataset(str(tmp_path), lazy_init=True).find_pairs()
    assert {pair.key for pair in sharp} == set(keys.values())
