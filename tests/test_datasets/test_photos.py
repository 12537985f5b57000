import cv2
import numpy as np
import pytest

import mmspd  # noqa: F401
from mmspd.datasets import LoadPhoto, PhotoFolderDataset
from mmspd.errors import UserError
from mmspd.registry import DATASETS


@pytest.fixture
def photos(tmp_path):
    """Two photos of different sizes, one of them in a sub-folder."""
    found = {}
    for number, name in enumerate(('b', 'trip/a')):
        image = np.random.default_rng(number).integers(0, 256, (8 + number, 9, 3), dtype=np.uint8)
        path = tmp_path / f'{name}.png'
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        found[name] = image
    return tmp_path, found


def test_every_photo_is_a_sample_without_a_sharp_image(photos):
    root, images = photos
    dataset = DATASETS.build(
        dict(
            type='mmspd.PhotoFolderDataset',
            data_root=str(root),
            pipeline=[dict(type='mmspd.LoadPhoto')],
        )
    )
    samples = [dataset[index] for index in range(len(dataset))]
    assert [sample['key'] for sample in samples] == ['b', 'trip/a']
    for sample in samples:
        np.testing.assert_array_equal(sample['img'], images[sample['key']])
        assert sample['ori_img_shape'] == sample['img'].shape
        assert 'gt' not in sample
        assert 'gt_path' not in sample
    assert len(PhotoFolderDataset(str(root), indices=1)) == 1


def test_errors(photos, tmp_path):
    root, images = photos
    with pytest.raises(UserError, match='nothing. does not exist: set the environment variable PH'):
        PhotoFolderDataset(str(tmp_path / 'nothing'))
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'empty' / 'notes.txt').touch()
    with pytest.raises(UserError, match=r'no photo in .*empty. \(it holds notes.txt\)'):
        PhotoFolderDataset(str(tmp_path / 'empty'))
    cv2.imwrite(str(root / 'gray.png'), images['b'][..., 0])
    dataset = PhotoFolderDataset(str(root), pipeline=[LoadPhoto()])
    with pytest.raises(UserError, match=r"gray.png' has no colour \(gray\)"):
        dataset[1]
    (root / 'b.png').write_bytes(b'')
    with pytest.raises(UserError, match=r'cannot decode .*b.png'):
        dataset[0]
