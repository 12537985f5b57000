from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmspd.datasets import LoadPhoto, PhotoFolderDataset
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
