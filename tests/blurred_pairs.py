"""Small data sets of blurry and sharp pairs, faults in them, and their check."""

import cv2
import numpy as np

from mmspd.datasets.doctor import check_data

SIDE, TRAIN, TEST = 168, 12, 10


def texture(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (SIDE // 6, SIDE // 6, 3), np.uint8)
    return cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def blurred(image, exponent=1.0):
    """Apply a box blur to the pixel values to the power of ``exponent``."""
    average = cv2.blur((image / 255.0) ** exponent, (7, 5)).clip(0) ** (1 / exponent)
    return (255 * average).round().astype(np.uint8)


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def check(root, **options):
    return check_data(root, crop=128, **options)


def problems(report):
    return [finding for finding in report.findings if finding.level != 'note']


def exchange(first, second):
    spare = first.with_name('spare')
    for old, new in ((first, spare), (second, first), (spare, second)):
        old.rename(new)


def change(path, function):
    write(path, function(read(path)))


def truncate(root):
    path = root / 'train/blur/003.png'
    path.write_bytes(path.read_bytes()[:-2000])


def exchange_images(root):
    exchange(root / 'train/blur/003.png', root / 'train/sharp/003.png')
