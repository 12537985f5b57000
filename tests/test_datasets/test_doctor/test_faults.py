"""Each fault that the check can find, and a data set without faults."""

import re
import shutil

import cv2
import numpy as np
import pytest
from blurred_pairs import (
    TEST,
    TRAIN,
    change,
    check,
    exchange,
    exchange_images,
    problems,
    read,
    texture,
    truncate,
    write,
)

from mmspd.datasets.doctor import check_data


def test_a_healthy_set_is_found_healthy(healthy):
    report = check(healthy)
    assert problems(report) == []
    assert report.exit_code == 0
    assert report.pairs == {'test/blur': TEST, 'train/blur': TRAIN}
    assert report.verdict == 'No problem was found in 22 pairs (all images read).'
    text = report.text()
    assert 'train/blur: the blurry images are averages of pixel values' in text
    assert 'judged from the brightness of 12 of 12 pairs (best exponent ' in text


BLUR, SHARP = 'train/blur/003.png', 'train/sharp/003.png'


def truncate_jpeg(root):
    data = cv2.imencode('.jpg', read(root / BLUR))[1].tobytes()
    (root / BLUR).write_bytes(data[: len(data) // 2])


def flip_a_bit(root):
    data = bytearray((root / BLUR).read_bytes())
    data[len(data) // 2] ^= 1
    (root / BLUR).write_bytes(data)


def displace(root, shift, numbers=range(TRAIN)):
    for number in numbers:
        change(root / f'train/sharp/{number:03d}.png', lambda image: np.roll(image, shift, (0, 1)))


def next_frame(root):
    """Shift the sharp frames as if their numbers were off by one."""
    for number in range(TRAIN):
        shift = [(7, 0), (-7, 0), (0, 7), (0, -7)][number % 4]
        displace(root, shift, [number])


def empty(folders):
    for folder in folders:
        for path in folder.iterdir():
            path.unlink()


def write_as(function):
    return lambda root: change(root / BLUR, function)


def copy(source, target):
    return lambda root: shutil.copy(root / source, root / target)


FAULTS = {
    'truncated': (truncate, r'1 file cannot be read \(train/blur/003.png: damaged: .*run'),
    'truncated_jpeg': (truncate_jpeg, r'1 file cannot .*003.png: damaged: image file is t'),
    'flipped_bit': (flip_a_bit, r'1 file cannot be read \(train/blur/003.png: damaged'),
    'empty_file': (
        lambda root: (root / BLUR).write_bytes(b''),
        r'1 file cannot be read \(train/blur/003.png: empty\); copy each file again',
    ),
    'no_image': (lambda root: (root / BLUR).write_text('<html>'), r'003.png: not an image\)'),
    'renamed': (
        lambda root: (root / SHARP).rename(root / 'train/sharp/003_.png'),
        r"no sharp image \(train/blur/003.png, did you mean 'train/sharp/003_.png'\?\); rename the",
    ),
    'empty_folder': (
        lambda root: empty([root / 'train/sharp']),
        r'12 blurry images have no sharp image \(train/blur/000.png, .*, \.\.\.\)',
    ),
    'both_empty': (
        lambda root: empty([root / 'train/sharp', root / 'train/blur']),
        r"train/blur' has no image",
    ),
    'two_suffixes': (copy(BLUR, 'train/blur/003.bmp'), 'differ only in their suffix; rename one'),
    'two_sizes': (
        write_as(lambda image: image[:-4]),
        r'1 pair has images of unequal size '
        r'\(train/blur/003.png is 168x164, train/sharp/003.png is 168x168\)',
    ),
    'gray': (
        write_as(lambda image: cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)),
        r'1 image is gray \(train/blur/003.png\); convert to 8-bit RGB or pack .* --to-rgb',
    ),
    'alpha': (
        write_as(lambda image: np.dstack([image, image[..., :1]])),
        r'1 image has an alpha channel \(train/blur/003.png\)',
    ),
    '16_bits': (
        write_as(lambda image: image.astype(np.uint16) * 257),
        r'1 image has 16 bits per channel \(train/blur/003.png\)',
    ),
    'leak': (
        copy(SHARP, 'test/sharp/020.png'),
        r'test/blur: 1 image is also in the training data \(train/sharp/003.png = test/sharp/020',
    ),
    'folders_exchanged': (
        lambda root: exchange(root / 'train/blur', root / 'train/sharp'),
        'sharp images are exchanged: in 12 of 12 pairs the sharp image is blurrier than the',
    ),
    'all_displaced': (
        lambda root: displace(root, (0, 2)),
        r'the blurry images are displaced by \(-2\.0, -?0\.0\) pixels \(right, down; median\)',
    ),
    'off_by_one': (next_frame, r'most pairs are displaced .* \(median [67]\.\d pixels'),
}
WARNINGS = {
    'duplicate': (
        copy(BLUR, 'train/blur/004.png'),
        r'1 blurry image is present more than once \(train/blur/003.png = train/blur/004.png\)',
    ),
    'unblurred': (copy(SHARP, BLUR), r'1 blurry image is equal to the sharp image \(003\)'),
    'images_exchanged': (
        exchange_images,
        r'1 of 12 compared pairs has a sharp image that is blurrier than the blurry image \(003\)',
    ),
    'one_displaced': (
        lambda root: displace(root, (9, -8), [3]),
        r'1 of 12 compared pairs is displaced by more than blur explains \(003 by \(8, -9\)\)',
    ),
    'unrelated': (
        lambda root: write(root / SHARP, texture(99)),
        r'1 of 12 compared pairs seems to show two scenes \(003\)',
    ),
    'black': (write_as(np.zeros_like), '1 of 12 compared pairs seems to show two scenes'),
}


@pytest.mark.parametrize('name', [*FAULTS, *WARNINGS])
def test_every_fault_is_found(root, name):
    provoke, message = {**FAULTS, **WARNINGS}[name]
    provoke(root)
    report = check(root)
    findings = problems(report)
    assert {finding.level for finding in findings} == {'fault' if name in FAULTS else 'warning'}
    assert re.search(message, '\n'.join(finding.line() for finding in findings))
    assert report.exit_code == (3 if name in FAULTS else 2)


def test_many_odd_pairs_are_a_fault(root):
    for name in ('003', '004'):
        exchange(root / f'train/blur/{name}.png', root / f'train/sharp/{name}.png')
    (finding,) = problems(check(root))
    assert (finding.level, finding.check, finding.names) == ('fault', 'exchanged', ('003', '004'))


def test_crop_and_varying_sizes(root):
    for folder in ('blur', 'sharp'):
        change(root / f'train/{folder}/003.png', lambda image: image[:, :140])
    report = check_data(root, crop=150)
    (finding,) = problems(report)
    assert finding.line().startswith(
        'warning  train/blur: 1 pair is smaller than the training crop of 150 pixels (003); lower'
    )
    assert '2 sizes, from 140x168 to 168x168' in report.text()
    assert problems(check_data(root, crop=140)) == []


@pytest.mark.slow
def test_real_pairs_raise_no_alarm(shared_data):
    report = check_data(shared_data / 'data' / 'pairs' / 'reds_320x180', crop=128)
    assert problems(report) == []
