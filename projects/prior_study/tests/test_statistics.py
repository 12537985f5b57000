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


def test_the_crossed_interval_covers_both_sources_of_variation():
    rng = np.random.default_rng(0)
    seeds, photos = rng.normal(0, 0.2, (4, 1)), rng.normal(0, 0.5, (1, 40))
    keys = [f'p{i}' for i in range(40)]

    def width(gains):
        low, high = crossed_interval(gains, keys)
        return high - low

    only_seeds = width(np.repeat(seeds, 40, 1))
    only_photos = width(np.repeat(photos, 4, 0))
    # the middle 95 % of a mean of N draws is about 2 * 1.96 deviations / sqrt(N) wide
    assert only_photos == pytest.approx(2 * 1.96 * photos.std() / 40**0.5, rel=0.05)
    assert width(seeds + photos) == pytest.approx(np.hypot(only_seeds, only_photos), rel=0.08)


def test_the_images_of_a_photo_are_drawn_together():
    gains = np.repeat(np.random.default_rng(1).normal(0, 1, (3, 10)), 3, axis=1)
    photos = [f'p{i // 3}' for i in range(30)]
    low, high = crossed_interval(gains, photos)
    low_single, high_single = crossed_interval(gains, list(map(str, range(30))))
    assert high - low > 1.2 * (high_single - low_single)
    assert crossed_interval(gains[:1], photos) is None  # one seed
    assert crossed_interval(gains[:, :12], photos[:12]) is None  # four photos
    assert crossed_interval(gains, photos) == (low, high)  # deterministic
