"""Checks of the pixels for exchanged, displaced and unrelated images, and for the frame average."""

from typing import Iterator, List, Mapping, Sequence, Tuple

import numpy as np

from mmspd.datasets.doctor.file_findings import PairFacts
from mmspd.datasets.doctor.findings import (
    FAULT,
    LEAVE_OUT,
    NOTE,
    WARNING,
    Finding,
    pairs_finding,
    plural,
)
from mmspd.datasets.doctor.inventory import Part
from mmspd.datasets.doctor.measures import EXPONENTS, DetailMeasures, PairMeasures

__all__ = ['find_in_blur_folders', 'find_in_content']

# DetailMeasures explains sharpness, excess and relation. Their thresholds were calibrated on 60
# pairs of REDS, the 32 pairs of Levin et al. and 528 synthesized pairs with extents up to 6.4 % of
# the image size. In whole images, the sharpness was at most 0.95, the relation at least 14.7 and
# the excess at most 1.6. In crops of 160 pixels, the sharpness was at most 1.05, the relation at
# least 5.8 and the excess at most 1.6 (except in one of 618 crops). In 216 whole images with
# synthesized extents of 6.4 to 11 %, the relation was at least 4.6 and the excess at most 2.03. The
# relation of unrelated images was at most 3.2 in whole images and 3.7 in crops.
_SHARPER = 1.1
_UNRELATED = 4.5
_EXCESS = 2.2
#: The median excess of an aligned data set is below this value.
_MEDIAN_EXCESS = 1.0
_SHIFT = 0.5  # median shift in pixels that counts as a displacement
_SIGMAS = 5.0
_MIN_PAIRS = 8  # minimum number of pairs for findings about the whole data set
_AGREEMENT = 0.8  # share of the pairs that must indicate the same kind of average
_SIGN_SIGMAS = 3.0  # minimum of (majority - minority) / sqrt(pairs); by chance about 1


def find_in_content(part: Part, facts: Sequence[PairFacts]) -> List[Finding]:
    """Find exchanged, displaced and unrelated images of a part, and how frames were averaged.

    Args:
        part: The part.
        facts: Facts about all pairs of the part.

    Returns:
        The findings.
    """
    measured = [pair.measures for pair in facts if pair.measures]
    judged = {
        pair.key: pair.measures.details for pair in facts if pair.measures and pair.measures.details
    }
    findings = []
    related = {key: pair for key, pair in judged.items() if pair.relation >= _UNRELATED}
    unrelated = [key for key in judged if key not in related]
    if unrelated:
        verbs = 'seems to show two scenes', 'seem to show two scenes'
        cure = 'look at the images and correct the file names'
        findings.append(pairs_finding('unrelated', part.name, verbs, cure, unrelated, len(judged)))
    if len(unrelated) > len(related):
        return findings  # too few pairs are left for the other checks
    findings += [*_exchanged(part, related), *_misaligned(part, related)]
    # skip RealBlur, because its blurry images are not averages of frames; skip data with faults,
    # because faulty pairs would falsify the result
    if part.layout != 'realblur' and not any(finding.level == FAULT for finding in findings):
        findings += _which_average(part, measured)
    if len(judged) < len(measured) / 2:
        text = (
            f'{len(measured) - len(judged)} of {len(measured)} pairs are too small or too smooth '
            'to check whether they are exchanged, displaced or unrelated'
        )
        findings.append(Finding(NOTE, 'unjudged', part.name, text))
    return findings


def _exchanged(part: Part, judged: Mapping[str, DetailMeasures]) -> Iterator[Finding]:
    """Find pairs whose sharp image is blurrier than their blurry image."""
    if not judged:
        return
    sharpness = {key: pair.sharpness for key, pair in judged.items()}
    wrong = [key for key, value in sharpness.items() if value > _SHARPER]
    if np.median(list(sharpness.values())) > 1:
        more = [value for value in sharpness.values() if value > 1]
        text = (
            f'the blurry and sharp images are exchanged: in {len(more)} of {len(judged)} pairs the '
            'sharp image is blurrier than the blurry image'
        )
        yield Finding(FAULT, 'exchanged', part.name, text, 'exchange the two folders')
    elif wrong:
        end = 'a sharp image that is blurrier than the blurry image'
        verbs = f'has {end}', f'have {end}'
        cure = f'look at the images, and exchange the two images or {LEAVE_OUT}'
        yield pairs_finding('exchanged', part.name, verbs, cure, wrong, len(judged))


def _misaligned(part: Part, related: Mapping[str, DetailMeasures]) -> Iterator[Finding]:
    """Find pairs whose images are displaced by more than blur explains."""
    if not related:
        return
    excess = np.array([pair.excess for pair in related.values()])
    shifts = np.array([pair.shift for pair in related.values()])
    middle = np.median(shifts, 0)
    # standard error of the median, for a deviation of at least 0.1 in case all shifts are equal
    error = (
        1.25 * np.maximum(1.48 * np.median(np.abs(shifts - middle), 0), 0.1) / len(related) ** 0.5
    )
    cure = 'crop and align both images of a pair in the same way'
    if len(related) >= _MIN_PAIRS and (np.abs(middle) > np.maximum(_SHIFT, _SIGMAS * error)).any():
        x, y = middle
        text = f'the blurry images are displaced by ({x:.1f}, {y:.1f}) pixels (right, down; median)'
        yield Finding(FAULT, 'misaligned', part.name, text, cure)
        return
    if len(related) >= _MIN_PAIRS and np.median(excess) > _MEDIAN_EXCESS:
        text = (
            f'most pairs are displaced by more than blur explains (median '
            f'{np.median(np.hypot(*shifts.T)):.1f} pixels)'
        )
        cure = 'check whether the frame numbers are off by one, or align the images'
        yield Finding(FAULT, 'misaligned', part.name, text, cure)
        return
    wrong = [
        '{} by ({:.0f}, {:.0f})'.format(key, *pair.shift)
        for key, pair in related.items()
        if pair.excess > _EXCESS
    ]
    if wrong:
        verbs = tuple(f'{verb} displaced by more than blur explains' for verb in ('is', 'are'))
        cure = f'look at the images, and align the pair or {LEAVE_OUT}'
        yield pairs_finding('misaligned', part.name, verbs, cure, wrong, len(related))


def _which_average(part: Part, measured: Sequence[PairMeasures]) -> Iterator[Finding]:
    """Find out how the frames were averaged, and compare the result with the folder's name.

    Averaging pixel values v keeps the mean of v. Averaging in linear light keeps the mean of
    v ** 2.2. This check compares the mean of v ** 1.6 in both images of a pair. After averaging
    pixel values, the blurry image has the lower mean. After averaging in linear light, the blurry
    image has the higher mean.
    """
    values = np.array([pair.brightening for pair in measured])
    if not len(values):
        return
    signs = np.sign(values[:, np.abs(EXPONENTS - 1.6).argmin()])
    linear = bool(signs.sum() > 0)
    agree, total = int((signs == (1 if linear else -1)).sum()), len(signs)
    if agree < _AGREEMENT * total or 2 * agree - total <= _SIGN_SIGMAS * total**0.5:
        text = (
            f'{plural(total, "pair")} do not show whether pixel values or linear light was averaged'
        )
        yield Finding(NOTE, 'average', part.name, text)
        return
    kind = "averages in linear light (like GoPro's blur_gamma)"
    if not linear:
        kind = "averages of pixel values (like GoPro's blur)"
    text = f'the blurry images are {kind}, judged from the brightness of {agree} of {total} pairs'
    kept = np.flatnonzero(np.diff(np.sign(values.mean(0))))
    if len(kept) == 1:
        text += f' (best exponent {EXPONENTS[kept[0]]:.1f})'
    if part.is_gopro and part.dataset.blur_key == ('blur' if linear else 'blur_gamma'):
        cure = (
            'unpack the data set again, because results on blur and blur_gamma cannot be compared'
        )
        yield Finding(WARNING, 'average', part.name, text, cure)
    else:
        yield Finding(NOTE, 'average', part.name, text)


def find_in_blur_folders(
    blur: Tuple[Part, Sequence[PairFacts]], gamma: Tuple[Part, Sequence[PairFacts]]
) -> List[Finding]:
    """Check that the folders ``blur`` and ``blur_gamma`` differ and are not exchanged.

    Args:
        blur: The part that reads ``blur``, and the facts about its pairs.
        gamma: The part that reads ``blur_gamma``, and the facts about its pairs.

    Returns:
        At most one finding.
    """
    part, others = gamma[0], {pair.key: pair for pair in gamma[1]}
    as_coded = int(np.abs(EXPONENTS - 1).argmin())
    both = [
        (
            a.key,
            a.images[0].digest == b.images[0].digest,
            b.measures.brightening[as_coded] > a.measures.brightening[as_coded],
        )
        for a in blur[1]
        for b in [others.get(a.key)]
        if b and a.measures and b.measures
    ]
    same = tuple(key for key, equal, _ in both if equal)
    if same:
        text = f'{len(same)} of {len(both)} images are equal to the images in blur'
        return [Finding(FAULT, 'blur_folders', part.name, text, 'unpack the data set again', same)]
    brighter = sum(larger for _, _, larger in both)
    if len(both) >= _MIN_PAIRS and brighter < (1 - _AGREEMENT) * len(both):
        text = (
            f'blur and blur_gamma are exchanged: in {len(both) - brighter} of {len(both)} frames '
            'blur is brighter than blur_gamma, but blur_gamma should be brighter'
        )
        return [Finding(FAULT, 'blur_folders', part.name, text, 'exchange the two folders')]
    return []
