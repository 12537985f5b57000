"""Compare two results image by image."""

from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from scipy import stats

from mmspd.errors import UserError
from mmspd.evaluation.provenance import FOLDERS
from mmspd.evaluation.results import Result

__all__ = [
    'Difference',
    'better_and_worse',
    'bootstrap_interval',
    'check_comparable',
    'compare',
    'compared_metrics',
    'differences_of',
    'sequence_of',
]

Interval = Tuple[float, float]

#: Smallest number of clusters for a bootstrap interval.
FEWEST = 5

#: Values of the provenance that must be equal in both results. Each value has a text that tells how
#: to fix a difference.
_SHARED = {
    'protocol': 'test both with the same --protocol',
    'rounding': 'test both with the same rounding of the metrics',
    'color': 'test both with the same version of mmspd',
    'self_ensemble': 'test both with --self-ensemble, or both without',
    'tiling': 'test both with the same tiles',
    'window': 'test both with the same --window',
}
#: Values that are unknown if finished images were scored.
_OF_MODEL = ('self_ensemble', 'tiling', 'window')
_SAME_INPUT = 0.01  # dB; equal blurry images have PSNRs that differ by at most this value


@dataclass(frozen=True)
class Difference:
    """Difference of two results in a metric, over the images with finite values in both results.

    Attributes:
        metric: Name of the metric.
        images: Number of compared images.
        left_out: Number of images without a finite value in one or both results.
        reference: Mean of the first result.
        other: Mean of the second result.
        difference: Mean of the second result minus the first.
        over_images: 95 % interval of ``difference`` from resampling images, or None if there are
            fewer than 5. See :func:`bootstrap_interval`.
        over_sequences: 95 % interval of ``difference`` from resampling whole sequences. It is None
            if there are no sequences or fewer than 5.
        wins: Number of images where the second result is better.
        losses: Number of images where the second result is worse.
        ties: Number of images where both results are equal to the printed digits.
    """

    metric: str
    images: int
    left_out: int
    reference: float
    other: float
    difference: float
    over_images: Optional[Interval]
    over_sequences: Optional[Interval]
    wins: int
    losses: int
    ties: int


def sequence_of(key: str) -> str:
    """Return the name of the sequence in the key of an image pair.

    Args:
        key: Key of an image pair, such as ``GOPR0384_11_00/000001``.

    Returns:
        The part before the last slash, or an empty string.

    Examples:
        >>> from mmspd.evaluation.comparison import sequence_of
        >>> sequence_of('GOPR0384_11_00/000001'), sequence_of('000001')
        ('GOPR0384_11_00', '')
    """
    return key.rpartition('/')[0]


def compared_metrics(results: Mapping[str, Result]) -> List[str]:
    """List the metrics that rate restored images and are in all results.

    Args:
        results: A dict from labels to results.

    Returns:
        Names of metrics in the order of the first result.

    Raises:
        UserError: There is no such metric.
    """
    names = {
        label: [
            name for name, info in result.metric_info.items() if info.higher_is_better is not None
        ]
        for label, result in results.items()
    }
    first, *others = names.values()
    shared = [name for name in first if all(name in other for other in others)]
    if not shared:
        listed = '; '.join(f'{label}: {", ".join(own) or "none"}' for label, own in names.items())
        raise UserError(
            f'The results share no metric ({listed}); test all with the same --protocol.'
        )
    return shared


def check_comparable(results: Mapping[str, Result]) -> None:
    """Check that results have the same conditions and the same images.

    Args:
        results: A dict from labels to at least two results. The first result is compared with each
            of the others.

    Raises:
        UserError: Two results differ. The message names the difference.
    """
    (first, reference), *others = results.items()
    for label, result in others:
        try:
            for name, (one, other), fix in _conditions((reference, result), results):
                if one != other:
                    raise UserError(
                        f'{name} is {one!r} in the first and {other!r} in the second; {fix}.'
                    )
            check_images(reference.images, result.images)
        except UserError as error:
            raise UserError(f'{first} and {label} cannot be compared: {error}') from error


def _conditions(
    pair: Sequence[Result], results: Mapping[str, Result]
) -> Iterator[Tuple[str, List[Any], str]]:
    """Yield a tuple for each condition that must be equal in two results.

    Yields:
        The name of the condition, its two values, and the fix for a difference.
    """
    provenances = [result.provenance for result in pair]
    have_models = all(result.has_model for result in pair)
    for name, fix in _SHARED.items():
        if have_models or name not in _OF_MODEL:
            yield name, [provenance.get(name) for provenance in provenances], fix
    datasets = [provenance.get('dataset', {}) for provenance in provenances]
    # the root of the same test set differs between machines
    names = list(dict.fromkeys(key for dataset in datasets for key in dataset if key != 'root'))
    if FOLDERS in (dataset.get('type') for dataset in datasets):
        names = ['images']  # the class and the options of the data set are unknown
    for name in names:
        values = [dataset.get(name) for dataset in datasets]
        yield f'dataset.{name}', values, 'test both on the same images'
    for metric in compared_metrics(results):
        infos = [result.metric_info[metric] for result in pair]
        yield f'the MetricInfo of {metric}', infos, 'test both with the same metric'
        package = infos[0].package
        if package is not None:
            versions = [provenance['versions'].get(package) for provenance in provenances]
            fix = f'test both with one version, because {metric} depends on {package}'
            yield f'versions.{package}', versions, fix


def check_images(
    reference: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]
) -> None:
    """Check that two results have the same images.

    Args:
        reference: The ``images`` of a :class:`Result`.
        other: The ``images`` of another :class:`Result`.

    Raises:
        UserError: The keys are not unique or differ between the results, or blurry images with the
            same key differ in their PSNR.
    """
    inputs = []
    for images in (reference, other):
        keys = [image['key'] for image in images]
        if len(set(keys)) < len(keys) or '' in keys:
            raise UserError(
                "Not all images have a unique key; add meta_keys=['key'] to PackInputs in "
                'test_dataloader.dataset.pipeline and test again.'
            )
        inputs.append({image['key']: image.get('PSNR-input') for image in images})
    for own, others, which in ((*inputs, 'first'), (*inputs[::-1], 'second')):
        unpaired = [key for key in own if key not in others]
        if unpaired:
            raise UserError(
                f"{len(unpaired)} images are only in the {which} result (one is '{unpaired[0]}'); "
                'test both on the same images.'
            )
    for key, first in inputs[0].items():
        second = inputs[1][key]
        if first is not None and second is not None and abs(first - second) > _SAME_INPUT:
            raise UserError(
                f"The blurry image '{key}' has {first:.2f} dB in the first and {second:.2f} dB in "
                'the second; test both on the same images.'
            )


def differences_of(reference: Result, other: Result, metric: str) -> Dict[str, float]:
    """Compute the difference of two results in a metric for each image.

    Args:
        reference: The first result.
        other: The second result, with the same images.
        metric: Name of the metric.

    Returns:
        A dict from the key of each image to the second result minus the first, in the order of the
        first result. Images without a finite value in one of the results are excluded.
    """
    second = {image['key']: image.get(metric) for image in other.images}
    pairs = ((image['key'], image.get(metric), second[image['key']]) for image in reference.images)
    return {key: b - a for key, a, b in pairs if a is not None and b is not None}


def better_and_worse(reference: Result, other: Result, metric: str) -> Tuple[List[str], List[str]]:
    """List the images where the second result is better, and those where it is worse.

    Args:
        reference: The first result.
        other: The second result, with the same images.
        metric: Name of the metric.

    Returns:
        The keys of the better images, from the largest gain, and the keys of the worse images, from
        the largest loss. Images that are equal to the printed digits are in neither list.
    """
    info = reference.metric_info[metric]
    values: List[Dict[str, Any]] = [
        {image['key']: image.get(metric) for image in result.images}
        for result in (reference, other)
    ]
    differences = differences_of(reference, other, metric)
    ranked = sorted(differences, key=differences.__getitem__, reverse=bool(info.higher_is_better))
    unequal = [key for key in ranked if not info.are_equal(*(each[key] for each in values))]
    better = [key for key in unequal if (differences[key] > 0) == bool(info.higher_is_better)]
    return better, unequal[len(better) :][::-1]


def compare(reference: Result, other: Result, metric: str) -> Optional[Difference]:
    """Compare two results that :func:`check_comparable` accepts.

    Args:
        reference: The first result.
        other: The second result.
        metric: Name of the metric.

    Returns:
        The difference, or None if no image has finite values in both results.

    Examples:
        >>> from mmspd.evaluation import PSNR, Result
        >>> from mmspd.evaluation.comparison import compare
        >>> plain, guided = (
        ...     Result({}, {}, PSNR.info, [{'key': str(i), 'PSNR': i + gain} for i in range(6)])
        ...     for gain in (0.0, 0.5))
        >>> difference = compare(plain, guided, 'PSNR')
        >>> difference.difference, difference.over_images, difference.wins
        (0.5, (0.5, 0.5), 6)
    """
    differences = differences_of(reference, other, metric)
    if not differences:
        return None
    values = np.array(list(differences.values()))
    first, second = (
        float(np.mean([image[metric] for image in result.images if image['key'] in differences]))
        for result in (reference, other)
    )
    sequences = [sequence_of(key) for key in differences]
    better, worse = better_and_worse(reference, other, metric)
    return Difference(
        metric=metric,
        images=len(values),
        left_out=len(reference.images) - len(values),
        reference=first,
        other=second,
        difference=float(values.mean()),
        over_images=bootstrap_interval(values, range(len(values))),
        over_sequences=bootstrap_interval(values, sequences) if any(sequences) else None,
        wins=len(better),
        losses=len(worse),
        ties=len(values) - len(better) - len(worse),
    )


def bootstrap_interval(values: np.ndarray, clusters: Sequence[Any]) -> Optional[Interval]:
    """Compute a 95 % bootstrap confidence interval of a mean.

    Clusters are drawn with replacement 9999 times. The interval is bias-corrected and accelerated
    (BCa). The frames of one sequence resemble each other, so an interval from drawing single frames
    is too narrow. Use the sequences as clusters if there are any.

    Args:
        values: Values of shape (N,).
        clusters: Cluster of each value. To draw single values, give each value its own cluster.

    Returns:
        The 95 % interval, or None if there are fewer than 5 clusters. The result is deterministic.

    Source: Efron, "Better Bootstrap Confidence Intervals", JASA 1987.

    Examples:
        >>> import numpy as np
        >>> from mmspd.evaluation.comparison import bootstrap_interval
        >>> low, high = bootstrap_interval(np.arange(20.0), clusters=range(20))
        >>> round(low), round(high)
        (7, 12)
        >>> bootstrap_interval(np.arange(20.0), clusters=['a'] * 10 + ['b'] * 10) is None
        True
    """
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums, counts = np.bincount(index, values), np.bincount(index)
    if len(sums) < FEWEST:
        return None
    # with equal values, the acceleration would divide zero by zero
    if np.allclose(sums / counts, values.mean(), rtol=1e-9, atol=1e-12):
        return float(values.mean()), float(values.mean())

    def mean(drawn: np.ndarray, axis: int) -> np.ndarray:
        return sums[drawn].sum(axis) / counts[drawn].sum(axis)

    interval = stats.bootstrap(
        (np.arange(len(sums)),), mean, vectorized=True, batch=256, random_state=0
    ).confidence_interval
    return float(interval.low), float(interval.high)
