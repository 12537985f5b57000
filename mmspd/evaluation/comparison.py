"""What one result gains over another, image by image."""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

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
    'is_lower_better',
    'sequence_of',
]

Interval = Tuple[float, float]

#: With fewer draws to resample an interval says nothing.
FEWEST = 5

_HIGHER = ('PSNR', 'SSIM')
_LOWER = ('LPIPS', 'NIQE', 'blur-effect')
# of the blurry image, or PSNR once more
_NOT_COMPARED = ('-input', '-gain')

#: What two results must share, and what to do where they do not.
_SHARED = {
    'protocol': 'test both with the same --protocol',
    'rounding': 'test both with the same version of mmspd',
    'color': 'test both with the same version of mmspd',
    'self_ensemble': 'test both with --self-ensemble, or both without',
    'tiling': 'test both with the same tiles',
}
#: Packages whose version decides on a metric, by what its name contains.
_DECISIVE = {'-aligned': 'cv2', 'LPIPS': 'lpips', 'blur-effect': 'skimage', 'NIQE': 'mmagic'}
#: What differs between machines though the test set is the same.
_PLACES = ('root',)
_SAME_INPUT = 0.01  # dB


class Difference(NamedTuple):
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


def is_lower_better(metric: str) -> bool:
    """Tell the direction of a metric by its name."""
    return metric.startswith(_LOWER)


def sequence_of(key: str) -> str:
    """Return the sequence part of a pair's key, empty without one."""
    return key.rpartition('/')[0]


def compared_metrics(results: Mapping[str, Result]) -> List[str]:
    """List the metrics that all results have for every image, in the order of the first.

    Raises:
        UserError: There is none.
    """
    names = [
        [name for name in result.images[0] if name.startswith(_HIGHER + _LOWER)]
        for result in results.values()
    ]
    shared = [
        name
        for name in names[0]
        if not name.endswith(_NOT_COMPARED) and all(name in other for other in names)
    ]
    if not shared:
        held = '; '.join(f'{label}: {", ".join(own)}' for label, own in zip(results, names))
        raise UserError(f'the results share no metric ({held}): test both with the same --protocol')
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
            _check_provenance(reference.provenance, result.provenance)
            check_images(reference.images, result.images)
            _check_versions(reference.provenance, result.provenance, compared_metrics(results))
        except UserError as error:
            raise UserError(f'{first} and {label} cannot be compared: {error}') from error


def _check_provenance(reference: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Refuse other protocols and other test sets."""
    for name, cure in _SHARED.items():
        _check_equal(name, reference.get(name), other.get(name), cure)
    sets = [provenance.get('dataset', {}) for provenance in (reference, other)]
    for name in dict.fromkeys(key for dataset in sets for key in dataset):
        if name not in _PLACES:
            values = [dataset.get(name) for dataset in sets]
            _check_equal(f'dataset.{name}', *values, 'test both on the same images')


def _check_versions(
    reference: Mapping[str, Any], other: Mapping[str, Any], metrics: Sequence[str]
) -> None:
    """Refuse other versions of a package that decides on one of the metrics."""
    for part, package in _DECISIVE.items():
        for metric in metrics:
            if part in metric:
                values = [
                    provenance.get('versions', {}).get(package) for provenance in (reference, other)
                ]
                cure = f'{metric} depends on it, test both in one environment'
                _check_equal(f'versions.{package}', *values, cure)


def _check_equal(name: str, first: Any, second: Any, cure: str) -> None:
    """Refuse two values that differ."""
    if first != second:
        raise UserError(f'{name} is {first!r} in one and {second!r} in the other; {cure}')


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
    for here, there, which in ((*inputs, 'first'), (*inputs[::-1], 'second')):
        alone = [key for key in here if key not in there]
        if alone:
            raise UserError(
                f"{len(alone)} images are in the {which} alone (one is '{alone[0]}'); test both on "
                'the same images'
            )
    for key, first in inputs[0].items():
        second = inputs[1][key]
        if None not in (first, second) and abs(first - second) > _SAME_INPUT:
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
    means = [
        float(np.mean([image[metric] for image in result.images if image['key'] in differences]))
        for result in (reference, other)
    ]
    sequences = [sequence_of(key) for key in differences]
    better = -values if is_lower_better(metric) else values
    return Difference(
        metric,
        len(values),
        len(reference.images) - len(values),
        *means,
        float(values.mean()),
        bootstrap_interval(values, range(len(values))),
        bootstrap_interval(values, sequences) if any(sequences) else None,
        int((better > 0).sum()),
        int((better < 0).sum()),
        int((better == 0).sum()),
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
