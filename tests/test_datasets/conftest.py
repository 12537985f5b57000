import cv2
import numpy as np
import pytest


@pytest.fixture
def write_image():
    """Return a function that writes a seeded random image and returns it as RGB."""

    def write(path, size=(40, 48), seed=0, channels=3, dtype=np.uint8):
        path.parent.mkdir(parents=True, exist_ok=True)
        high = np.iinfo(dtype).max
        shape = size if channels == 1 else (*size, channels)
        image = np.random.default_rng(seed).integers(0, high, shape).astype(dtype)
        assert cv2.imwrite(str(path), image)
        return image[..., ::-1] if channels == 3 else image

    return write


@pytest.fixture
def root(tmp_path, write_image):
    """Six pairs of several sizes in the folders ``input`` and ``target``."""
    for number, size in enumerate(((40, 48), (40, 49), (40, 48), (33, 57), (64, 31), (50, 50))):
        for part, name in enumerate(('input', 'target')):
            write_image(tmp_path / 'data' / name / f'{number}.png', size, seed=2 * number + part)
    return tmp_path / 'data'


@pytest.fixture
def gopro_root(tmp_path, write_image):
    """Two sequences of 3 frames per split in the layout of GOPRO_Large, with both blurs."""
    root = tmp_path / 'GOPRO_Large'
    for split in ('train', 'test'):
        for number, sequence in enumerate(('GOPR0384_11_00', 'GOPR0385_11_01')):
            for frame in range(1, 4):
                for part, name in enumerate(('blur', 'blur_gamma', 'sharp')):
                    path = root / split / sequence / name / f'{frame:06d}.png'
                    write_image(path, seed=100 * number + 10 * part + frame)
    return root
