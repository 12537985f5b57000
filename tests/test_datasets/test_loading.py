import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from mmspd.datasets import LoadImagePair, PairedFolderDataset
from mmspd.datasets.image_io import read_rgb
from mmspd.errors import UserError
from mmspd.evaluation.metrics import psnr
from mmspd.utils.failures import sentence_of


@pytest.fixture
def pair(tmp_path, write_image):
    """A pair on disk and its content."""
    return dict(
        root=tmp_path,
        img=write_image(tmp_path / 'input' / 'a.png', seed=1),
        gt=write_image(tmp_path / 'target' / 'a.png', seed=2),
    )


def load(root):
    return PairedFolderDataset(str(root), pipeline=[LoadImagePair()])[0]


def test_loads_rgb_and_what_mmagic_asks_for(pair):
    results = load(pair['root'])
    for key in ('img', 'gt'):
        np.testing.assert_array_equal(results[key], pair[key])
        assert results[key].dtype == np.uint8
        assert results[f'ori_{key}_shape'] == (40, 48, 3)
        assert results[f'{key}_channel_order'] == 'rgb'
    assert results['scale'] == 1


def test_every_load_is_a_fresh_array(pair):
    dataset = PairedFolderDataset(str(pair['root']), pipeline=[LoadImagePair()])
    dataset[0]['img'][:] = 0
    np.testing.assert_array_equal(dataset[0]['img'], pair['img'])


def test_jpeg_orientation_is_applied(tmp_path):
    from PIL import Image

    image = np.zeros((16, 32, 3), np.uint8)
    image[:, :16] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # viewers rotate it clockwise, so red is on top
    Image.fromarray(image).save(tmp_path / 'a.jpg', exif=exif, quality=95, subsampling=0)
    loaded = read_rgb(tmp_path / 'a.jpg')
    assert loaded.shape == (32, 16, 3)
    np.testing.assert_allclose(loaded[4, 8], (255, 0, 0), atol=6)
    np.testing.assert_allclose(loaded[28, 8], (0, 0, 0), atol=6)


@pytest.mark.parametrize(
    ('channels', 'dtype', 'message'),
    [
        (1, np.uint8, r'no color \(gray\); convert it to 8-bit RGB'),
        (4, np.uint8, 'an alpha channel; convert it to 8-bit RGB'),
        (3, np.uint16, '16 bits per channel; convert it to 8-bit RGB'),
    ],
)
def test_refuses_what_is_not_8_bit_color(pair, write_image, channels, dtype, message):
    write_image(pair['root'] / 'input' / 'a.png', channels=channels, dtype=dtype)
    with pytest.raises(UserError, match=rf"input/a\.png' has {message}"):
        load(pair['root'])


def test_refuses_an_unreadable_file(pair):
    path = pair['root'] / 'target' / 'a.png'
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"Cannot decode '.*target/a\.png' \(100 bytes\)"):
        load(pair['root'])
    path.write_bytes(b'')
    with pytest.raises(UserError, match=r'\(0 bytes\), because it is damaged'):
        load(pair['root'])
    path.unlink()
    with pytest.raises(UserError, match=r"Cannot read the image '.*target/a\.png' \(No such file"):
        read_rgb(path)


def test_refuses_two_sizes(pair, write_image):
    write_image(pair['root'] / 'target' / 'a.png', size=(40, 50))
    with pytest.raises(
        UserError, match=r"input/a\.png' is 48x40 pixels, .*target/a\.png' is 50x40"
    ):
        load(pair['root'])


def test_errors_of_workers_keep_their_sentence(pair):
    (pair['root'] / 'input' / 'a.png').write_bytes(b'')
    dataset = PairedFolderDataset(str(pair['root']), pipeline=[LoadImagePair()])
    with pytest.raises(UserError) as caught:
        next(iter(DataLoader(dataset, num_workers=1, collate_fn=list)))
    assert sentence_of(caught.value).startswith(f"Cannot decode '{pair['root']}/input/a.png'")


@pytest.mark.slow
@pytest.mark.parametrize(('split', 'count'), [('train', 20), ('test', 40)])
def test_real_pairs(shared_data, split, count):
    """A sharp REDS frame is more similar to its blurry frame than to another scene."""
    root = shared_data / 'data' / 'pairs' / 'reds_320x180' / split
    dataset = PairedFolderDataset(str(root), 'blur', 'sharp', pipeline=[LoadImagePair()])
    assert len(dataset) == count
    first, last = dataset[0], dataset[count - 1]
    assert 18 < psnr(first['img'], first['gt']) < 45
    assert psnr(first['img'], first['gt']) > psnr(first['img'], last['gt']) + 5


class TestWithMMagic:
    """The pipeline of the configs, followed by MMagic's data preprocessor."""

    @pytest.fixture(autouse=True)
    def mmagic_scope(self):
        import mmagic.datasets.transforms
        import mmagic.models  # noqa: F401

        with DefaultScope.overwrite_default_scope('mmagic'):
            yield

    @staticmethod
    def dataset(root, crop=16):
        return PairedFolderDataset(
            str(root),
            pipeline=[
                dict(type='mmspd.LoadImagePair'),
                dict(type='mmagic.PairedRandomCrop', gt_patch_size=crop),
                dict(
                    type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=1.0, direction='horizontal'
                ),
                dict(type='mmagic.RandomTransposeHW', keys=['img', 'gt'], transpose_ratio=1.0),
                dict(type='mmagic.PackInputs', meta_keys=['key', 'severity']),
            ],
        )

    @staticmethod
    def preprocess(samples, training):
        from mmagic.registry import MODELS
        from mmengine.dataset import pseudo_collate

        cfg = dict(type='DataPreprocessor', mean=[0.0] * 3, std=[255.0] * 3)
        return MODELS.build(cfg)(pseudo_collate(samples), training=training)

    def test_augmented_pair_stays_aligned_rgb_in_0_1(self, pair):
        np.random.seed(3)
        batch = self.preprocess([self.dataset(pair['root'])[0] for _ in range(2)], training=True)
        np.random.seed(3)
        for number in range(2):
            top, left = np.random.randint(40 - 16 + 1), np.random.randint(48 - 16 + 1)
            np.random.random(2)  # drawn by Flip and RandomTransposeHW
            for key, tensor in (('img', batch['inputs']), ('gt', batch['data_samples'].gt_img)):
                crop = pair[key][top : top + 16, left : left + 16][:, ::-1]
                expected = crop.transpose(2, 1, 0).astype(np.float32) / 255
                np.testing.assert_allclose(tensor[number], expected, atol=1e-6)
        assert batch['data_samples'].metainfo['key'] == ['a', 'a']

    def test_pure_red_is_bgr_for_the_metrics(self, pair):
        red = np.zeros((40, 48, 3), np.uint8)
        red[..., 2] = 255  # OpenCV writes BGR
        for name in ('input', 'target'):
            cv2.imwrite(str(pair['root'] / name / 'a.png'), red)
        train = self.preprocess([self.dataset(pair['root'])[0]], training=True)
        assert train['inputs'][0, :, 0, 0].tolist() == [1, 0, 0]
        assert train['data_samples'].gt_img[0, :, 0, 0].tolist() == [1, 0, 0]
        val = self.preprocess([self.dataset(pair['root'])[0]], training=False)
        assert val['data_samples'].gt_img[0, :, 0, 0].tolist() == [0, 0, 255]

    def test_image_smaller_than_the_crop(self, pair):
        with pytest.raises(UserError, match=r"input/a\.png' is 48x40 pixels, smaller than .* 64"):
            self.dataset(pair['root'], crop=64)[0]
