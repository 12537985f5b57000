import cv2
import numpy as np
import pytest
from scipy.ndimage import convolve1d, map_coordinates
from skimage import data

from mmspd.datasets.blur import exposure, synthesis
from mmspd.datasets.blur.camera_path import (
    Motion,
    grid_points,
    path_extents,
    random_motion,
    sub_frame_times,
)
from mmspd.datasets.blur.exposure import Box, panning_kernel
from mmspd.datasets.blur.synthesis import BlurSpec, plan_blur, synthesize_blur
from mmspd.errors import UserError
from mmspd.evaluation.metrics import psnr
from mmspd.utils.severity import SEVERITIES

QUIET = dict(noise=(0.0, 0.0))


@pytest.fixture(scope='module')
def photo():
    """A real photo, 180x120."""
    return cv2.resize(data.coffee(), (180, 120), interpolation=cv2.INTER_AREA)


def blur(photo, seed=0, **spec):
    return synthesize_blur(photo, np.random.default_rng(seed), BlurSpec(**spec))


def light(photo):
    return (photo / 255.0) ** 2.2


def displayed(linear):
    return np.clip(linear, 0, 1) ** (1 / 2.2) * 255


def shift_between(sharp, blurry):
    """Estimate the shift (x, y) in pixels from the coarse difference by linear least squares.

    Phase correlation does not work here, because a uniform line of 10 pixels inverts frequencies.
    """
    coarse = [cv2.GaussianBlur(light(image), (0, 0), 10).mean(2) for image in (sharp, blurry)]
    inner = np.s_[25:-25, 25:-25]
    slopes = [slope[inner].ravel() for slope in np.gradient(coarse[0])[::-1]]
    difference = (coarse[1] - coarse[0])[inner].ravel()
    return np.linalg.lstsq(np.stack(slopes, 1), difference, rcond=None)[0]


@pytest.mark.parametrize('length', [1, 2.5, 5, 8, 11])
def test_panning_is_a_horizontal_line_in_linear_light(photo, length):
    blurry, record = blur(photo, kind='panning', severity=(length, length), **QUIET)
    # sample the line [-length/2, length/2] densely and count the samples per pixel
    places = (np.arange(100000) + 0.5) / 100000 * length - length / 2
    half = int(np.ceil(length))
    weights = np.histogram(places, np.arange(-half - 0.5, half + 1))[0] / 100000
    expected = displayed(convolve1d(light(photo), weights, axis=1, mode='mirror'))
    np.testing.assert_allclose(blurry, expected, atol=0.55)
    assert record.extent == pytest.approx(length)
    assert record.sub_frames == len(panning_kernel(length))


def test_eq1_trajectory_averages_sub_frames_in_linear_light(photo):
    """Compare with float64 bilinear sampling of the same camera path."""
    spec = BlurSpec(severity='severe', **QUIET)
    blurry, record = synthesize_blur(photo, np.random.default_rng(4), spec)
    rng = np.random.default_rng(4)
    low, high = (share * np.sqrt(120 * 180) for share in SEVERITIES['severe'])
    extent = low * (high / low) ** rng.uniform()
    rng.uniform(), rng.uniform()  # noise and gain
    points = grid_points((120, 180))
    camera = random_motion(rng, [89.5, 59.5], points, extent)
    moves = np.linalg.norm(np.diff(camera.displacement(points), axis=0), axis=2).max(1)
    times, weights = sub_frame_times(moves, 1.0, 13)
    y, x = np.mgrid[:120, :180]
    total = np.zeros(photo.shape)
    for matrix, weight in zip(camera.at(times).centered(weights).matrices(), weights):
        at = [matrix[row, 0] * x + matrix[row, 1] * y + matrix[row, 2] for row in (1, 0)]
        for channel in range(3):
            source = light(photo)[..., channel]
            total[..., channel] += weight * map_coordinates(source, at, order=1, mode='mirror')
    assert record.sub_frames == len(weights)
    np.testing.assert_allclose(blurry, displayed(total), atol=1.2)


@pytest.mark.parametrize('kind', synthesis.KINDS)
@pytest.mark.parametrize('severity', SEVERITIES)
def test_sharp_photo_is_aligned_with_the_result(photo, kind, severity):
    shifts = [
        shift_between(photo, blur(photo, seed, kind=kind, severity=severity, **QUIET)[0])
        for seed in range(6)
    ]
    assert np.abs(shifts).max() < 0.5


def test_the_estimate_of_alignment_sees_a_shift(photo):
    moved = np.roll(photo, (1, -2), axis=(0, 1))
    np.testing.assert_allclose(shift_between(photo, moved), [2, -1], atol=0.5)


@pytest.mark.parametrize('kind', synthesis.KINDS)
def test_severity_lowers_psnr_and_is_recorded(photo, kind):
    means = []
    for severity in SEVERITIES:
        blurs = [blur(photo, seed, kind=kind, severity=severity, **QUIET) for seed in range(6)]
        assert {record.severity for _, record in blurs} == {severity}
        means.append(np.mean([psnr(blurry, photo) for blurry, _ in blurs]))
    assert means[0] > means[1] + 1.5 > means[2] + 3


def test_extent_in_pixels_is_kept_and_classified(photo):
    for pixels, name in ((1.4, 'mild'), (2.5, 'moderate'), (7, 'severe'), (30, 'severe')):
        record = blur(photo, severity=(pixels, pixels))[1]
        assert record.extent == pytest.approx(pixels, rel=0.01)
        assert record.extent_max >= record.extent
        assert record.share == pytest.approx(record.extent / np.sqrt(120 * 180))
        assert record.severity == name


def test_the_logarithm_of_the_extent_is_uniform_within_a_severity(photo):
    rng, spec = np.random.default_rng(0), BlurSpec('severe', kind='panning')
    shares = [plan_blur(photo, rng, spec).record.share for _ in range(400)]
    expected = 0.02 * (0.11 / 0.02) ** np.array([0.25, 0.5, 0.75])
    assert np.quantile(shares, [0.25, 0.5, 0.75]) == pytest.approx(expected, rel=0.1)
    assert 0.02 <= min(shares) < 0.0205 < 0.107 < max(shares) <= 0.11


def test_shaken_camera_blurs_differently_over_the_image():
    dots = np.zeros((129, 129, 3), np.uint8)
    dots[8::16, 8::16] = 255
    blurry = light(blur(dots, 3, severity='severe', **QUIET)[0])
    tiles = blurry[:128, :128].reshape(8, 16, 8, 16, 3).transpose(0, 2, 1, 3, 4)
    assert np.abs(tiles[1, 1] - tiles[6, 6]).max() > 0.05
    panned = blur(dots, 3, kind='panning', severity=(4, 4), **QUIET)[0]
    np.testing.assert_array_equal(panned[0:16, 16:32], panned[96:112, 80:96])


def test_border_is_continued():
    white = np.full((64, 64, 3), 255, np.uint8)
    for kind in synthesis.KINDS:
        assert blur(white, kind=kind, severity='severe', **QUIET)[0].min() >= 254


def test_the_same_seed_gives_the_same_result_for_any_number_of_threads(photo):
    spec = dict(severity='severe', moving_regions=2)
    before = photo.copy()
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        first = blur(photo, 7, **spec)
        cv2.setNumThreads(4)
        second = blur(photo, 7, **spec)
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]
    assert (blur(photo, 8, **spec)[0] != first[0]).any()
    np.testing.assert_array_equal(photo, before)


def test_noise_has_the_recorded_deviation():
    gray = np.full((200, 200, 3), 128, np.uint8)
    blurry, record = blur(gray, noise=(0.01, 0.03))
    assert 0.01 <= record.noise <= 0.03
    assert (blurry / 255).std() == pytest.approx(record.noise, rel=0.05)


def test_highlights_leave_streaks():
    night = np.full((64, 64, 3), 40, np.uint8)
    night[30:34, 30:34] = 255
    night[10:14, 10:14] = 240  # bright, but not clipped
    plain = blur(night, severity='severe', **QUIET)[0].astype(int)
    bright, record = blur(night, severity='severe', highlight_gain=(8.0, 8.0), **QUIET)
    assert record.highlight_gain == 8
    assert (bright[24:40, 24:40].astype(int) - plain[24:40, 24:40]).max() > 20
    np.testing.assert_array_equal(bright[6:18, 6:18], plain[6:18, 6:18])


def test_moving_regions_change_only_a_part(photo):
    records = [blur(photo, seed, moving_regions=2)[1] for seed in range(12)]
    assert {record.moving_regions for record in records} == {0, 1, 2}
    spec = BlurSpec(severity='severe', moving_regions=1, **QUIET)
    seed = next(s for s in range(9) if blur(photo, s, moving_regions=1)[1].moving_regions)
    moving = synthesize_blur(photo, np.random.default_rng(seed), spec)[0]
    whole = dict(vars(spec), moving_regions=0)
    still = synthesize_blur(photo, np.random.default_rng(seed), BlurSpec(**whole))[0]
    changed = (np.abs(moving.astype(int) - still) > 6).any(2).mean()
    assert 0.01 < changed < 0.6


@pytest.mark.parametrize(
    'spec',
    [
        dict(kind='panning', severity=(3.5, 60.0)),
        dict(severity='severe'),
        dict(severity=(40, 50)),  # the extent is larger than the box
        dict(severity='severe', moving_regions=3, highlight_gain=(3, 3)),
    ],
    ids=['panning', 'trajectory', 'far', 'regions'],
)
def test_a_part_looks_as_it_does_in_the_whole(photo, spec, monkeypatch):
    # photo and box have different sub-frames; with dense sub-frames the difference is negligible
    monkeypatch.setattr(exposure, '_MAX_STEP', 0.1)
    spec = BlurSpec(**QUIET, **spec)
    whole, record = synthesize_blur(photo, np.random.default_rng(2), spec)
    for box in (Box(0, 0, 40, 32), Box(70, 40, 110, 80), Box(140, 88, 180, 120)):
        part, own = synthesize_blur(photo, np.random.default_rng(2), spec, box)
        assert part.shape == (*box.size, 3)
        difference = np.abs(part.astype(int) - box.of(whole))
        assert difference.max() <= 1
        assert difference.mean() < 0.1
        assert own.moving_regions == record.moving_regions >= (spec.moving_regions > 0)
        assert own.severity == record.severity


def test_a_part_reads_only_what_it_shows(photo):
    box, spec = Box(70, 40, 110, 80), BlurSpec(severity=(10, 10), moving_regions=1)
    blanked = np.zeros_like(photo)
    near = Box(50, 20, 130, 100)
    near.of(blanked)[:] = near.of(photo)
    parts = [synthesize_blur(p, np.random.default_rng(5), spec, box)[0] for p in (photo, blanked)]
    np.testing.assert_array_equal(*parts)


def test_extent_of_a_part_is_its_own(photo):
    """Rotation about the center moves the corners most."""
    spec = BlurSpec(severity=(20, 20))
    whole, corner, center = (
        [synthesize_blur(photo, np.random.default_rng(s), spec, box)[1].extent for s in range(10)]
        for box in (None, Box(0, 0, 32, 32), Box(74, 44, 106, 76))
    )
    np.testing.assert_allclose(whole, 20, rtol=0.01)
    assert np.std(corner) > 0.5
    assert np.mean(center) < np.mean(corner)


def test_sub_frames_are_dense_and_weighted_by_time():
    moves = np.concatenate([np.full(50, 0.75), np.full(50, 0.25)])  # fast, then slow
    times, weights = sub_frame_times(moves, 1.0, 13)
    assert weights.sum() == pytest.approx(1)
    assert len(times) == 50
    assert (np.diff(np.interp(times, np.linspace(0, 1, 101), np.r_[0, moves.cumsum()])) <= 1).all()
    assert weights[times < 0.5].sum() == pytest.approx(0.5, abs=0.03)
    assert len(sub_frame_times(moves / 100, 1.0, 13)[0]) == 13


def test_motion_displaces_as_its_parameters_say():
    motion = Motion(
        center=np.array([10.0, 20.0]),
        offset=np.array([[0.0, 0.0], [3.0, -1.0]]),
        angle=np.array([0.0, np.pi / 2]),
        log_zoom=np.log([1.0, 2.0]),
    )
    # a point 5 right of the center: rotated below it, at twice the distance, then shifted
    moved = motion.displacement(np.array([[15.0, 20.0]]))
    np.testing.assert_allclose(moved[:, 0], [[0, 0], [13 - 15, 29 - 20]], atol=1e-9)
    assert path_extents(moved)[0] == pytest.approx(np.hypot(2, 9), rel=0.006)
    centered = motion.centered(np.array([0.25, 0.75]))
    np.testing.assert_allclose(np.array([0.25, 0.75]) @ centered.offset, 0, atol=1e-12)


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        (dict(severity='strong'), 'one of mild, moderate, severe'),
        (dict(severity=(5, 3)), 'range MIN MAX of at least 1 pixel'),
        (dict(severity=(0.5, 3)), 'range MIN MAX of at least 1 pixel'),
        (dict(kind='zoom'), 'one of trajectory, panning'),
        (dict(moving_regions=1, kind='panning'), "use kind='trajectory'"),
        (dict(noise=(0.1, 0.0)), r'noise=\(0.1, 0.0\) is invalid'),
        (
            dict(highlight_gain=(0.5, 1)),
            'highlight_gain=.* is invalid; give a range MIN MAX of at least 1',
        ),
    ],
)
def test_bad_specs_are_refused(spec, message):
    with pytest.raises(UserError, match=message):
        BlurSpec(**spec)


def test_bad_photos_are_refused(photo):
    with pytest.raises(UserError, match='RGB uint8 of shape'):
        blur(photo / 255)
    with pytest.raises(UserError, match='has only 20x120 pixels'):
        blur(photo[:, :20])
