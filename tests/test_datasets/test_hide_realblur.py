"""HIDE and RealBlur as unpacked, and messages about missing files."""

import numpy as np
import pytest

from mmspd.datasets import HIDEDataset, RealBlurDataset

LOAD = [dict(type='mmspd.LoadImagePair')]


@pytest.fixture
def hide_root(tmp_path, write_image):
    root = tmp_path / 'HIDE'
    names = {'test-close-ups': ['1fromGOPR0950', '2fromGOPR0951'], 'test-long-shot': ['long7']}
    for folder, images in names.items():
        for number, name in enumerate(images):
            write_image(root / 'test' / folder / f'{name}.png', seed=number)
            write_image(root / 'GT' / f'{name}.png', seed=50 + number)
    write_image(root / 'GT' / 'only_in_train.png')
    return root


@pytest.fixture
def realblur_root(tmp_path, write_image):
    root, folder = tmp_path / 'RealBlur', 'RealBlur-J_ECC_IMCORR_centroid_itensity_ref'
    lines = []
    for scene, frame in (('scene050', 2), ('scene001', 9)):
        names = [f'{folder}/{scene}/{kind}/{kind}_{frame}.png' for kind in ('gt', 'blur')]
        for seed, name in enumerate(names):
            write_image(root / name, seed=frame + 10 * seed)
        lines.append(' '.join(names))
    (root / 'RealBlur_J_test_list.txt').write_text('\n'.join(lines) + '\n')
    return root


def test_hide_pairs_by_name_and_tells_the_shots_apart(hide_root, write_image, tmp_path):
    dataset = HIDEDataset(str(hide_root), pipeline=LOAD)
    keys = [dataset.get_data_info(i)['key'] for i in range(len(dataset))]
    assert keys == [
        'test-close-ups/1fromGOPR0950',
        'test-close-ups/2fromGOPR0951',
        'test-long-shot/long7',
    ]
    sample = dataset[1]
    assert np.array_equal(sample['img'], write_image(tmp_path / 'a.png', seed=1))
    assert np.array_equal(sample['gt'], write_image(tmp_path / 'b.png', seed=51))


def test_realblur_follows_its_list(realblur_root, write_image, tmp_path):
    dataset = RealBlurDataset(str(realblur_root), split='test', pipeline=LOAD)
    keys = [dataset.get_data_info(i)['key'] for i in range(len(dataset))]
    assert keys == ['scene050/blur_2', 'scene001/blur_9']
    sample = dataset[0]
    assert np.array_equal(sample['gt'], write_image(tmp_path / 'a.png', seed=2))
    assert np.array_equal(sample['img'], write_image(tmp_path / 'b.png', seed=12))


def test_hide_faults(hide_root):
    (hide_root / 'GT' / 'long7.png').unlink()
    with pytest.raises(ValueError, match=r'1 images in .*test. have no sharp image of the same na'):
        HIDEDataset(str(hide_root))
    with pytest.raises(ValueError, match=r"has no folder 'val' .*into .*val', .*from HIDE_"):
        HIDEDataset(str(hide_root), split='val')


def test_realblur_faults(realblur_root):
    root, path = str(realblur_root), realblur_root / 'RealBlur_J_test_list.txt'
    with pytest.raises(ValueError, match=r"has no list 'RealBlur_R_test_list.txt'"):
        RealBlurDataset(root, 'R', 'test')
    with pytest.raises(ValueError, match="subset='j' is unknown; use 'J' or 'R'"):
        RealBlurDataset(root, 'j', 'test')
    next(realblur_root.rglob('blur_9.png')).unlink()
    with pytest.raises(ValueError, match=r'1 images of .* are missing .*blur_9.png'):
        RealBlurDataset(root, 'J', 'test')
    path.write_text('one\n')
    with pytest.raises(ValueError, match='Line 1 of .* does not name two images'):
        RealBlurDataset(root, 'J', 'test')
    path.write_text('\n')
    with pytest.raises(ValueError, match='is empty; download the list again'):
        RealBlurDataset(root, 'J', 'test')


@pytest.mark.slow
def test_one_command_tests_on_another_data_set(tested, run_tool, hide_root, tmp_path):
    args = ('test.py', *tested, '--work-dir', tmp_path / 'test', '--test-on', 'hide')
    code, output = run_tool(*args, HIDE_ROOT=str(hide_root))
    assert code == 0, output
    assert 'HIDEDataset has 3 pairs' in output
    assert 'PSNR-gain' in output
    options = ('--cfg-options', 'test_dataloader.dataset.split=train')
    code, output = run_tool(*args, *options, HIDE_ROOT=str(hide_root))
    assert code == 2
    assert "has no folder 'train'" in output
