import shutil
from pathlib import Path

import pytest
from blurred_pairs import TEST, TRAIN, blurred, texture, write


@pytest.fixture(scope='session')
def healthy(tmp_path_factory):
    root = tmp_path_factory.mktemp('healthy')
    for number in range(TRAIN + TEST):
        split = 'train' if number < TRAIN else 'test'
        sharp = texture(number)
        write(root / split / 'sharp' / f'{number:03d}.png', sharp)
        write(root / split / 'blur' / f'{number:03d}.png', blurred(sharp))
    return root


@pytest.fixture
def root(healthy, tmp_path):
    return Path(shutil.copytree(healthy, tmp_path / 'data'))


@pytest.fixture(scope='session')
def gopro_healthy(tmp_path_factory):
    """A test sequence with both blur folders."""
    root = tmp_path_factory.mktemp('gopro')
    for number in range(TEST):
        sharp = texture(100 + number)
        for folder, image in (
            ('sharp', sharp),
            ('blur', blurred(sharp)),
            ('blur_gamma', blurred(sharp, 2.2)),
        ):
            write(root / 'test' / 'GOPR0396_11_00' / folder / f'{number:06d}.png', image)
    return root


@pytest.fixture
def gopro(gopro_healthy, tmp_path):
    return Path(shutil.copytree(gopro_healthy, tmp_path / 'gopro'))
