"""Recognized layouts, and whether their configs can be built."""

from pathlib import Path

import pytest

from mmspd.datasets.layouts import recognize
from mmspd.registry import DATASETS


@pytest.fixture
def make(tmp_path, write_image):
    """Return a function that writes images and lists below a folder."""

    def make_files(*names):
        for number, name in enumerate(names):
            if name.endswith('.png'):
                write_image(tmp_path / name, size=(8, 8), seed=number)
            else:
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_text('blur.png sharp.png\n')
        return tmp_path

    return make_files


def summary(root):
    splits = recognize(root)
    for entry in splits:
        assert len(DATASETS.build(entry.dataset)) == 1
    keys = ('type', 'data_root')
    return [
        (entry.layout, entry.split, {k: v for k, v in entry.dataset.items() if k not in keys})
        for entry in splits
    ]


def gopro(split, blur='blur'):
    return ('gopro', split, dict(split=split, blur_key=blur))


def pairs(split, blur_dir, sharp_dir):
    return ('pairs', split, dict(blur_dir=blur_dir, sharp_dir=sharp_dir))


def test_gopro_gives_an_entry_per_split_and_blur(make):
    root = make(
        'train/A/blur/1.png',
        'train/A/blur_gamma/1.png',
        'train/A/sharp/1.png',
        'test/B/blur/1.png',
        'test/B/sharp/1.png',
    )
    splits = [gopro('test'), gopro('train'), gopro('train', 'blur_gamma')]
    assert summary(root) == splits
    assert summary(root / 'train') == splits[1:]
    assert Path(recognize(root / 'test')[0].dataset['data_root']) == root


def test_hide(make):
    root = make('test/close/1.png', 'GT/1.png')
    assert summary(root) == [('hide', 'test', dict(split='test'))]


def test_realblur(make):
    root = make('RealBlur_J_train_list.txt', 'RealBlur_R_test_list.txt', 'blur.png', 'sharp.png')
    assert summary(root) == [
        ('realblur', 'train', dict(subset='J', split='train')),
        ('realblur', 'test', dict(subset='R', split='test')),
    ]


@pytest.mark.parametrize(
    ('blur', 'sharp'), [('input', 'target'), ('blur', 'sharp'), ('blurry', 'GT'), ('lq', 'gt')]
)
@pytest.mark.parametrize('split', ['', 'train'])
def test_folder_pairs(make, blur, sharp, split):
    prefix = f'{split}/' if split else ''
    root = make(f'{prefix}{blur}/1.png', f'{prefix}{sharp}/1.png')
    assert summary(root) == [pairs(split, prefix + blur, prefix + sharp)]


def test_folder_pairs_with_sequences_are_not_mistaken_for_gopro(make):
    root = make('val/blur/000/1.png', 'val/sharp/000/1.png')
    assert summary(root) == [pairs('val', 'val/blur', 'val/sharp')]


def test_an_unknown_folder_is_described(make, tmp_path):
    root = make('set/train/A/blur/1.png', 'set/train/A/sharp/1.png', 'photos/1.png')
    with pytest.raises(ValueError, match=r"\(it holds photos, set\); use '.*set'\."):
        recognize(root)
    with pytest.raises(ValueError, match=r'it holds 1\.png\); arrange the data as <split>/<seq'):
        recognize(root / 'photos')
    with pytest.raises(ValueError, match='absent. does not exist; correct the path'):
        recognize(tmp_path / 'absent')
