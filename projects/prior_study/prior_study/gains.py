"""Gains of one variant of a study over another, with their intervals."""

from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from scipy import stats

from mmspd.evaluation.comparison import sequence_of
from prior_study.archive import Images, Run
from prior_study.statistics import crossed_interval, p_value, seed_interval

__all__ = ['Gain', 'by_extent', 'gain_of', 'share_of']

Interval = Tuple[float, float]

#: Ranges of the measured extent of the blur, as a share of ``sqrt(H * W)``, by their names. At
#: 240x160 pixels, the limits are 3.1 and 6.3 pixels.
EXTENTS = {
    'below 1.6 %': (0.0, 0.016),
    '1.6 to 3.2 %': (0.016, 0.032),
    'above 3.2 %': (0.032, np.inf),
}


@dataclass(frozen=True)
class Gain:
    """Difference in PSNR of two variants in dB, paired by seed and image.

    Attributes:
        seeds: Seeds that both variants were trained with.
        per_seed: Mean gain of each seed.
        mean: Mean of ``per_seed``.
        over_seeds: 95 % interval over the seeds
            (:func:`~prior_study.statistics.seed_interval`); None for a single seed.
        over_both: 95 % interval over seeds and photos
            (:func:`~prior_study.statistics.crossed_interval`), or None.
        p: P-value over the seeds; None for a single seed.
    """

    seeds: List[int]
    per_seed: List[float]
    mean: float
    over_seeds: Optional[Interval]
    over_both: Optional[Interval]
    p: Optional[float]


def gain_of(
    run: Mapping[int, Run],
    reference: Mapping[int, Run],
    test: str,
    images: Images,
    chosen: Optional[Sequence[bool]] = None,
) -> Optional[Gain]:
    """Compute the gain of a variant over a reference on a test set.

    Args:
        run: A dict from each seed to the run of the variant.
        reference: A dict from each seed to the run of the reference.
        test: Name of the test set.
        images: The images of the test set.
        chosen: Whether each image counts; by default, all images count.

    Returns:
        The gain; None if the variants have no seed in common or no image counts.
    """
    seeds = [s for s in reference if s in run and test in run[s].psnr and test in reference[s].psnr]
    mask = np.ones(len(images.key), bool) if chosen is None else np.asarray(chosen, bool)
    if not seeds or not mask.any():
        return None
    gains = np.array([np.subtract(run[s].psnr[test], reference[s].psnr[test]) for s in seeds])
    gains = gains[:, mask]
    photos = [sequence_of(key) or key for key, counts in zip(images.key, mask) if counts]
    per_seed = gains.mean(1).tolist()
    return Gain(
        seeds=seeds,
        per_seed=per_seed,
        mean=float(np.mean(per_seed)),
        over_seeds=seed_interval(per_seed),
        over_both=crossed_interval(gains, photos),
        p=p_value(per_seed),
    )


def by_extent(images: Images) -> Dict[str, List[bool]]:
    """Sort the images of a test set into ranges of the blur extent.

    Args:
        images: The images.

    Returns:
        A dict from each range that has images to whether each image is in it.
    """
    ranges = {
        name: [extent is not None and low <= extent < high for extent in images.extent]
        for name, (low, high) in EXTENTS.items()
    }
    return {name: mask for name, mask in ranges.items() if any(mask)}


def share_of(part: Gain, whole: Gain) -> Tuple[float, Optional[Interval]]:
    """Compute the share of a gain that remains, for example after a longer training.

    Args:
        part: The gain that remains.
        whole: The whole gain.

    Returns:
        The ratio of the mean gains over the seeds of both, and its 95 % interval over the seeds by
        Fieller's theorem. The interval is None if the seeds are fewer than two or if the whole gain
        is not significantly different from zero.

    Source: Fieller, "Some Problems in Interval Estimation", J. R. Stat. Soc. B 1954.
    """
    seeds = [seed for seed in part.seeds if seed in whole.seeds]
    x, y = (np.array([g.per_seed[g.seeds.index(seed)] for seed in seeds]) for g in (whole, part))
    return float(y.mean() / x.mean()), _fieller(x, y) if len(seeds) > 1 else None


def _fieller(x: np.ndarray, y: np.ndarray) -> Optional[Interval]:
    """Return the 95 % interval of ``mean(y) / mean(x)`` for paired values."""
    t2 = stats.t.ppf(0.975, len(x) - 1) ** 2
    cov = np.cov(x, y) / len(x)
    a = x.mean() ** 2 - t2 * cov[0, 0]
    b = x.mean() * y.mean() - t2 * cov[0, 1]
    c = y.mean() ** 2 - t2 * cov[1, 1]
    if a <= 0 or b**2 < a * c:
        return None
    root = float(np.sqrt(b**2 - a * c))
    return float((b - root) / a), float((b + root) / a)
