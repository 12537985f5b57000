"""What one result gains over another, image by image."""

from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from scipy import stats

from mmspd.errors import UserError
from mmspd.evaluation.results import Result

__all__ = [
    'Difference',
    'bootstrap_interval',
    'check_comparable',
    'compare',
    'compared_metrics',
    'differences_of',
    'sequence_of',
]

Interval = Tuple[float, float]

#: With fewer draws to resample an interval says nothing.
FEWEST = 5

#: What two results must share, and what to do where they do not.
_SHARED = {
    'protocol': 'test both with the same --protocol',
    'rounding': 'test both with the same version of mmspd',
    'color': 'test both with the same version of mmspd',
    'self_ensemble': 'test both with --self-ensemble, or both without',
    'tiling': 'test both with the same tiles',
}
_SAME_INPUT = 0.01  # dB


@dataclass(frozen=True)
class Difference:
    """How two results differ in a metric, over the images where both have finite values.

    Attributes:
        metric: Its name.
        images: Number of images compared.
        left_out: Number of those that one result or both have no finite value for.
        reference: Mean of the first result.
        other: Mean of the second result.
        difference: Mean of second minus first.
        over_images: 95 % interval of ``difference`` from resampling images; see
            :func:`bootstrap_interval`.
        over_sequences: The same from resampling whole sequences, None without any.
        wins: Number of images where the second result is better.
        losses: Number of those where it is worse.
        ties: Number of those where both are exactly equal.
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
    """Return the sequence part of a pair's key, empty without one."""
    return key.rpartition('/')[0]


def compared_metrics(results: Mapping[str, Result]) -> List[str]:
    """List the metrics that rate the images of all results, in the order of the first.

    Raises:
        UserError: There is none.
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
            f'the results share no metric ({listed}): test both with the same --protocol'
        )
    return shared


def check_comparable(results: Mapping[str, Result]) -> None:
    """Make sure that results measure the same on the same images.

    Args:
        results: By what to call them, at least two; all are compared with the first.

    Raises:
        UserError: They do not, in a sentence that names the difference.
    """
    (first, reference), *others = results.items()
    for label, result in others:
        try:
            for name, (one, other), fix in _conditions((reference, result), results):
                if one != other:
                    raise UserError(f'{name} is {one!r} in one and {other!r} in the other; {fix}')
            check_images(reference.images, result.images)
        except UserError as error:
            raise UserError(f'{first} and {label} cannot be compared: {error}') from error


def _conditions(
    pair: Sequence[Result], results: Mapping[str, Result]
) -> Iterator[Tuple[str, List[Any], str]]:
    """List what two of the results must share: a name, both values, and the fix if they differ."""
    provenances = [result.provenance for result in pair]
    for name, fix in _SHARED.items():
        yield name, [provenance.get(name) for provenance in provenances], fix
    datasets = [provenance.get('dataset', {}) for provenance in provenances]
    # the root differs between machines though the test set is the same
    for name in dict.fromkeys(key for dataset in datasets for key in dataset if key != 'root'):
        values = [dataset.get(name) for dataset in datasets]
        yield f'dataset.{name}', values, 'test both on the same images'
    for metric in compared_metrics(results):
        infos = [result.metric_info[metric] for result in pair]
        yield f'the info of {metric}', infos, 'test both with the same metric'
        package = infos[0].package
        if package is not None:
            versions = [provenance['versions'].get(package) for provenance in provenances]
            fix = f'{metric} depends on it, test both in one environment'
            yield f'versions.{package}', versions, fix


def check_images(
    reference: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]
) -> None:
    """Make sure that two results are of the same images.

    Args:
        reference: The ``images`` of a :class:`Result`.
        other: Likewise.

    Raises:
        UserError: Other keys, or other values of the blurry images under the same keys.
    """
    inputs = []
    for images in (reference, other):
        keys = [image['key'] for image in images]
        if len(set(keys)) < len(keys) or '' in keys:
            raise UserError(
                "not all images have a name of their own: add meta_keys=['key'] to PackInputs in "
                'test_dataloader.dataset.pipeline and test again'
            )
        inputs.append({image['key']: image.get('PSNR-input') for image in images})
    for own, others, which in ((*inputs, 'first'), (*inputs[::-1], 'second')):
        unpaired = [key for key in own if key not in others]
        if unpaired:
            raise UserError(
                f"{len(unpaired)} images are only in the {which} (one is '{unpaired[0]}'); test "
                'both on the same images'
            )
    for key, first in inputs[0].items():
        second = inputs[1][key]
        if first is not None and second is not None and abs(first - second) > _SAME_INPUT:
            raise UserError(
                f"the blurry image '{key}' has {first:.2f} dB in one and {second:.2f} dB in the "
                'other; test both on the same images'
            )


def differences_of(reference: Result, other: Result, metric: str) -> Dict[str, float]:
    """Subtract a metric of one result from that of another, by the keys of the images.

    Returns:
        Second minus first, in the order of the first; without the images for which one of them
        has no finite value.
    """
    second = {image['key']: image.get(metric) for image in other.images}
    pairs = ((image['key'], image.get(metric), second[image['key']]) for image in reference.images)
    return {key: b - a for key, a, b in pairs if a is not None and b is not None}


def compare(reference: Result, other: Result, metric: str) -> Optional[Difference]:
    """Compare two results that :func:`check_comparable` accepts.

    Returns:
        The difference, or None: no image has finite values in both.
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
    better = values if reference.metric_info[metric].higher_is_better else -values
    return Difference(
        metric=metric,
        images=len(values),
        left_out=len(reference.images) - len(values),
        reference=first,
        other=second,
        difference=float(values.mean()),
        over_images=bootstrap_interval(values, range(len(values))),
        over_sequences=bootstrap_interval(values, sequences) if any(sequences) else None,
        wins=int((better > 0).sum()),
        losses=int((better < 0).sum()),
        ties=int((better == 0).sum()),
    )


def bootstrap_interval(values: np.ndarray, clusters: Sequence[Any]) -> Optional[Interval]:
    """Estimate between what bounds the mean of other images of the same kind would be.

    Clusters are drawn with replacement, 9999 times; the bounds are bias-corrected and accelerated
    (BCa). The frames of one sequence resemble each other, so that an interval from drawing single
    frames is too narrow: draw sequences where there are any.

    Args:
        values: Shape (N,).
        clusters: What each of them belongs to; all different draws single values.

    Returns:
        The 95 % interval, the same in every run; None if there are fewer than 5 clusters.

    Source: Efron, "Better Bootstrap Confidence Intervals", JASA 1987.
    """
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums, counts = np.bincount(index, values), np.bincount(index)
    if len(sums) < FEWEST:
        return None
    # equal but for rounding: the acceleration would divide zero by zero
    if np.allclose(sums / counts, values.mean(), rtol=1e-9, atol=1e-12):
        return float(values.mean()), float(values.mean())

    def mean(drawn: np.ndarray, axis: int) -> np.ndarray:
        return sums[drawn].sum(axis) / counts[drawn].sum(axis)

    interval = stats.bootstrap(
        (np.arange(len(sums)),), mean, vectorized=True, batch=256, random_state=0
    ).confidence_interval
    return float(interval.low), float(interval.high)
