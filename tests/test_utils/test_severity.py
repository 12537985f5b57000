import cv2
import numpy as np
import pytest
from scipy.stats import spearmanr
from skimage import data

from mmspd.datasets.blur.synthesis import BlurSpec, synthesize_blur
from mmspd.errors import UserError
from mmspd.utils.severity import SEVERITIES, measure_extent, severity_of, share_of


@pytest.fixture(scope='module')
def photo():
    """A real photo of 360x240 pixels, read-only."""
    photo = cv2.resize(data.coffee(), (360, 240), interpolation=cv2.INTER_AREA)
    photo.flags.writeable = False
    return photo


def filtered(photo, kernel):
    """Blur a photo in linear light, like a sensor."""
    light = cv2.filter2D((photo / 255.0) ** 2.2, -1, kernel / kernel.sum())
    return np.rint(255 * np.clip(light, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def bent_path():
    """A path with a corner, from (2, 2) through (2, 10) to (14, 10), and its diameter."""
    kernel = np.zeros((17, 17))
    kernel[2, 2:11] = 1
    kernel[2:15, 10] = 1
    return kernel, np.hypot(8, 12)


def broken_path():
    """Two places where the camera rested, 13 rows and 6 columns apart, and their distance."""
    kernel = np.zeros((17, 17))
    kernel[1:3, 1:3] = kernel[13:15, 6:8] = 1
    return kernel, np.hypot(13, 6)


def straight_path():
    kernel = np.zeros((17, 17))
    kernel[8, 3:14] = 1
    return kernel, 10


@pytest.mark.parametrize('make', [bent_path, broken_path, straight_path])
@pytest.mark.parametrize('turn', range(4))
def test_the_extent_is_the_diameter_of_the_path(photo, make, turn):
    kernel, diameter = make()
    blurry = filtered(photo, np.rot90(kernel, turn))
    assert measure_extent(blurry, photo) == pytest.approx(diameter, abs=1.5)


@pytest.mark.parametrize(
    ('pixels', 'size', 'name'),
    [
        (8, (720, 1280), 'mild'),
        (15, (720, 1280), 'moderate'),
        # GoPro's smeared scenes keep their severity when the photos are reduced
        *((pixels, (720, 1280), 'severe') for pixels in (20.4, 22.7, 25.0, 29.6)),
        *((pixels, (180, 320), 'severe') for pixels in (5.3, 5.7, 6.7, 8.4)),
    ],
)
def test_the_severities_mean_the_same_at_every_size(pixels, size, name):
    assert severity_of(pixels, size) == name
    assert share_of(pixels, size) == pixels / np.sqrt(size[0] * size[1])


def test_real_camera_shake_can_be_synthesized():
    # the longest kernel of Levin et al. and its photos
    assert share_of(26.9, (255, 255)) <= SEVERITIES['severe'][1]


@pytest.mark.slow
def test_the_largest_severe_extent_is_measured(photo):
    extent = SEVERITIES['severe'][1] * np.sqrt(240 * 360)
    shares = []
    for seed in range(8):
        spec = BlurSpec((extent, extent))
        blurry, record = synthesize_blur(photo, np.random.default_rng(seed), spec)
        shares.append(measure_extent(blurry, photo) / record.extent)
    # in one photo, the camera rests at one end of its path
    assert sum(abs(share - 1) < 0.05 for share in shares) >= 7


def test_an_extent_that_is_too_large_is_not_measured(photo):
    extent = 0.3 * np.sqrt(240 * 360)
    spec = BlurSpec((extent, extent), 'panning')
    blurry, _ = synthesize_blur(photo, np.random.default_rng(0), spec)
    assert np.isnan(measure_extent(blurry, photo))


@pytest.mark.slow
def test_synthesized_blur_gets_its_recorded_rank_and_severity(photo):
    pairs = []
    for number, severity in enumerate([*SEVERITIES] * 8):
        kind, regions = (('trajectory', 2), ('trajectory', 0), ('panning', 0))[number // 3 % 3]
        spec = BlurSpec(severity, kind, moving_regions=regions)
        blurry, record = synthesize_blur(photo, np.random.default_rng(number), spec)
        pairs.append((measure_extent(blurry, photo), record))
    extents, records = zip(*pairs)
    recorded = [record.extent for record in records]
    assert spearmanr(extents, recorded)[0] > 0.95
    assert abs(np.median(np.divide(extents, recorded)) - 1) < 0.1
    named = [severity_of(extent, photo.shape[:2]) for extent in extents]
    assert np.mean([name == record.severity for name, record in zip(named, records)]) >= 0.8


def test_a_photo_without_blur_has_no_extent(photo):
    assert measure_extent(photo, photo) == 0
    noisy = photo + np.random.default_rng(0).normal(0, 3, photo.shape)
    assert measure_extent(np.clip(noisy, 0, 255).astype(np.uint8), photo) <= 1


@pytest.mark.parametrize(
    'change',
    [
        lambda blurry: np.roll(blurry, (4, -3), (0, 1)),
        lambda blurry: (blurry * 0.8 + 10).astype(np.uint8),
        lambda blurry: cv2.imdecode(cv2.imencode('.jpg', blurry, [1, 90])[1], cv2.IMREAD_COLOR),
    ],
    ids=['shift', 'brightness', 'JPEG'],
)
def test_changes_other_than_blur_do_not_count(photo, change):
    kernel, diameter = bent_path()
    assert measure_extent(change(filtered(photo, kernel)), photo) == pytest.approx(
        diameter, abs=2.5
    )
    assert measure_extent(change(photo), photo) <= 2


def test_unusable_pairs_have_an_unknown_extent(photo):
    gray, black = np.full_like(photo, 128), np.zeros_like(photo)
    other = cv2.resize(data.chelsea(), (360, 240), interpolation=cv2.INTER_AREA)
    small = np.s_[:31, :200]
    pairs = [(gray, gray), (photo, gray), (gray, photo), (black, photo), (photo, other)]
    for blurry, sharp in [*pairs, (photo[small], photo[small])]:
        assert np.isnan(measure_extent(blurry, sharp))


def test_errors(photo):
    with pytest.raises(UserError, match=r'dtype float64 .*; give RGB photos of dtype uint8'):
        measure_extent(photo, photo / 255)
    with pytest.raises(UserError, match=r'shape \(240, 360\); give .* shape \(H, W, 3\)'):
        measure_extent(photo[..., 0], photo)
    with pytest.raises(UserError, match='blurry photo is 360x239 but the sharp one is 360x240'):
        measure_extent(photo[1:], photo)


@pytest.mark.parametrize('number', [1, 2, 3, 4, 5, 8])
def test_extent_of_real_camera_shake_matches_its_measured_kernel(shared_data, number):
    folder = shared_data / 'data' / 'pairs' / 'levin09'
    blurry, sharp, kernel = (
        cv2.imread(str(folder / name))
        for name in (f'im1_kernel{number}_img.png', 'gt/im1.png', f'gt/kernel{number}.png')
    )
    path = np.argwhere(kernel[..., 0] > 0.12 * kernel.max())
    diameter = np.linalg.norm(path[:, None] - path, axis=2).max()
    assert measure_extent(blurry, sharp) == pytest.approx(diameter, rel=0.15)
