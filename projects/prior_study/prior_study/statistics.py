"""Intervals and tests of the gains of a study: over seeds, and over seeds and photos."""

from typing import List, Optional, Sequence, Tuple

import numpy as np
from scipy import stats

__all__ = ['crossed_interval', 'holm', 'interval_of_moments', 'p_value', 'seed_interval']

Interval = Tuple[float, float]

#: Smallest number of photos for an interval over photos.
FEWEST_PHOTOS = 5
_DRAWS = 9999


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
    """Compute a 95 % bootstrap interval of a mean gain over seeds and photos.

    Seeds and photos are drawn with replacement, independently of each other (a crossed bootstrap).
    The interval contains the middle 95 % of the means. With three seeds, the part of the variation
    between seeds is too small by about a fifth, so the interval of :func:`seed_interval` is safer
    where the seeds differ.

    Args:
        gains: Gains ``(seeds, images)``.
        photos: Photo of each image. The images of a photo are drawn together.

    Returns:
        The interval, or None for a single seed or for fewer than five photos. The result is
        deterministic.
    """
    _, index = np.unique(np.asarray(photos), return_inverse=True)
    counts = np.bincount(index)
    seeds, sets = len(gains), len(counts)
    if seeds < 2 or sets < FEWEST_PHOTOS:
        return None
    sums = np.stack([np.bincount(index, row) for row in gains])  # (seeds, photos)
    rng = np.random.default_rng(0)
    drawn_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), _DRAWS) / seeds
    drawn_photos = rng.multinomial(sets, np.full(sets, 1 / sets), _DRAWS)
    means = np.einsum('ds,sp,dp->d', drawn_seeds, sums, drawn_photos) / (drawn_photos @ counts)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
