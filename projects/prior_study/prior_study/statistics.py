"""Intervals and tests of the gains of a study: over seeds, and over seeds and photos."""

from typing import List, Optional, Sequence, Tuple

import numpy as np
from scipy import stats

__all__ = ['crossed_interval', 'holm', 'interval_of_moments', 'p_value', 'seed_interval']

Interval = Tuple[float, float]

#: Smallest number of photos for an interval over photos.
FEWEST_PHOTOS = 5


def seed_interval(gains: Sequence[float]) -> Optional[Interval]:
    """Compute the 95 % interval of a mean gain from Student's t distribution.

    Args:
        gains: Mean gain of each seed.

    Returns:
        The interval, or None for a single seed.

    Examples:
        >>> from prior_study.statistics import seed_interval
        >>> low, high = seed_interval([0.5, 0.6, 0.7])  # 0.6 +- 4.303 * 0.1 / sqrt(3)
        >>> round(low, 3), round(high, 3)
        (0.352, 0.848)
    """
    if len(gains) < 2:
        return None
    return interval_of_moments(float(np.mean(gains)), float(np.std(gains, ddof=1)), len(gains))


def interval_of_moments(mean: float, deviation: float, seeds: int) -> Interval:
    """Compute the interval of :func:`seed_interval` from moments.

    Args:
        mean: Mean gain.
        deviation: Standard deviation of the gain over the seeds, with ``seeds - 1`` in the divisor.
        seeds: Number of seeds, at least 2.
    """
    reach = float(stats.t.ppf(0.975, seeds - 1)) * deviation / seeds**0.5
    return mean - reach, mean + reach


def p_value(gains: Sequence[float]) -> Optional[float]:
    """Compute the two-sided p-value of a mean gain of zero, with Student's t test over the seeds.

    Args:
        gains: Mean gain of each seed.

    Returns:
        The p-value, or None for a single seed.
    """
    return float(stats.ttest_1samp(gains, 0).pvalue) if len(gains) > 1 else None


def holm(p_values: Sequence[Optional[float]]) -> List[Optional[float]]:
    """Correct p-values for the number of comparisons (Holm, Scand. J. Statist. 1979).

    Args:
        p_values: P-values; None for a comparison that has none.

    Returns:
        The corrected p-values in the same order. If those below 0.05 are called significant, the
        chance of at least one false call is at most 5 %.

    Examples:
        >>> from prior_study.statistics import holm
        >>> holm([0.02, None, 0.01, 0.4])
        [0.04, None, 0.03, 0.4]
    """
    ordered = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: List[Optional[float]] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - rank) * p))
        corrected[place] = highest
    return corrected


def crossed_interval(gains: np.ndarray, photos: Sequence[str]) -> Optional[Interval]:
    """Compute a 95 % interval of a mean gain for new seeds and new photos.

    Seeds and photos are crossed random effects. The variance of the mean is at most the sum of the
    variance over the seeds and the variance over the photos, each divided by its number; the
    interval uses this sum and Satterthwaite's degrees of freedom. A bootstrap over both is too
    narrow for three seeds: without a variation of the photos, its interval has 0.3 of the width of
    Student's t.

    Args:
        gains: Gains ``(seeds, images)``.
        photos: Photo of each image. A photo counts by the mean of its images.

    Returns:
        The interval, or None for a single seed or for fewer than five photos.

    Source: Satterthwaite, "An Approximate Distribution of Estimates of Variance Components",
    Biometrics Bulletin 1946.
    """
    names, index = np.unique(np.asarray(photos), return_inverse=True)
    seeds, sets = len(gains), len(names)
    if seeds < 2 or sets < FEWEST_PHOTOS:
        return None
    by_photo = np.stack([np.bincount(index, row) / np.bincount(index) for row in gains])
    parts = [(seeds, by_photo.mean(1).var(ddof=1)), (sets, by_photo.mean(0).var(ddof=1))]
    variance = sum(part / count for count, part in parts)
    if not variance:
        return float(by_photo.mean()), float(by_photo.mean())
    freedom = variance**2 / sum((part / n) ** 2 / (n - 1) for n, part in parts)
    reach = float(stats.t.ppf(0.975, freedom) * np.sqrt(variance))
    return float(by_photo.mean()) - reach, float(by_photo.mean()) + reach
