"""Intervals and p-values of the gains, against independent computations."""

import numpy as np
import pytest
from prior_study.statistics import (
    crossed_interval,
    holm,
    interval_of_moments,
    p_value,
    seed_interval,
)
from scipy import stats


def test_the_interval_over_seeds_is_students():
    gains = [0.51, 0.62, 0.70]
    expected = stats.t.interval(0.95, 2, np.mean(gains), stats.sem(gains))
    assert seed_interval(gains) == pytest.approx(expected)
    low, high = interval_of_moments(0.6, 0.1, 3)  # 2.48 deviations on each side
    assert (high - low) / 2 == pytest.approx(0.2484, abs=1e-4)
    assert seed_interval([0.5]) is None


def test_an_interval_excludes_zero_exactly_if_p_is_below_five_percent():
    for offset in np.linspace(0, 0.5, 26):
        gains = offset + np.array([-0.1, 0.02, 0.08])
        low, high = seed_interval(gains)
        assert (low > 0 or high < 0) == (p_value(gains) < 0.05)
    assert p_value([0.3]) is None


def test_holms_correction_is_monotonous_and_ignores_missing_values():
    # 0.01 * 3, max(0.03, 0.04 * 2), max(0.08, 0.03 ...) in the order of the p-values
    assert holm([0.04, 0.01, None, 0.03]) == pytest.approx([0.06, 0.03, None, 0.06], abs=1e-12)
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


PHOTOS = [f'p{i}' for i in range(24)]


def test_the_crossed_interval_is_students_if_one_source_is_missing():
    seeds = np.array([0.1, 0.3, -0.1])
    assert crossed_interval(np.repeat(seeds[:, None], 24, 1), PHOTOS) == pytest.approx(
        seed_interval(seeds)
    )
    photos = np.random.default_rng(0).normal(0.2, 0.5, 24)
    assert crossed_interval(np.repeat(photos[None], 3, 0), PHOTOS) == pytest.approx(
        seed_interval(photos)
    )
    assert crossed_interval(np.full((3, 24), 0.5), PHOTOS) == (0.5, 0.5)


@pytest.mark.parametrize('deviations', [(0.1, 0.0, 0.2), (0.0, 0.5, 0.2), (0.1, 0.3, 0.2)])
def test_the_crossed_interval_covers_the_true_gain_in_95_percent(deviations):
    rng = np.random.default_rng(1)
    of_seed, of_photo, of_both = deviations
    covered = 0
    for _ in range(1000):
        gains = rng.normal(0, of_seed, (3, 1)) + rng.normal(0, of_photo, (1, 24))
        low, high = crossed_interval(gains + rng.normal(0, of_both, (3, 24)), PHOTOS)
        covered += low <= 0 <= high
    assert covered > 935


def test_the_images_of_a_photo_count_together():
    gains = np.random.default_rng(1).normal(0, 1, (3, 8))
    photos = [f'p{i}' for i in range(8)]
    repeated = [photo for photo in photos for _ in range(3)]
    assert crossed_interval(np.repeat(gains, 3, 1), repeated) == pytest.approx(
        crossed_interval(gains, photos)
    )
    assert crossed_interval(gains[:1], photos) is None  # one seed
    assert crossed_interval(gains[:, :4], photos[:4]) is None  # four photos
