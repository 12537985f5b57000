"""What the pixels of all pairs say together: exchanged, displaced, unrelated, and which blur."""

from typing import Iterator, List, Mapping, Sequence, Tuple

import numpy as np

from mmspd.datasets.doctor.file_findings import PairFacts
from mmspd.datasets.doctor.findings import FAULT, NOTE, WARNING, Finding, pairs_finding, plural
from mmspd.datasets.doctor.inventory import Part
from mmspd.datasets.doctor.measures import EXPONENTS, DetailMeasures, PairMeasures

__all__ = ['find_in_blur_folders', 'find_in_content']

# Calibrated on 60 pairs of REDS, the 32 of Levin et al. and 528 synthesized ones of every severity:
# whole images have sharpness up to 0.95, relation from 14.7 up and excess up to 1.6; in crops of
# 160 pixels these are 1.05, 5.8 and, but for one in 618, 1.6. Unrelated images have a relation of
# at most 3.2 and 3.7.
_SHARPER = 1.1
_UNRELATED = 4.5
_EXCESS = 2.0
#: Most pairs of a data set are nearer to their place than this, by the same measure.
_MEDIAN_EXCESS = 1.0
_SHIFT = 0.5  # pixels by which all pairs are displaced alike
_SIGMAS = 5.0
_MIN_PAIRS = 8  # below, nothing is said of the data set as a whole
_AGREEMENT = 0.8  # share of the pairs that must be of one mind on the blur
_SIGN_SIGMAS = 3.0  # by which they must outnumber the others, of the chance of a coin


def find_in_content(part: Part, facts: Sequence[PairFacts]) -> List[Finding]:
    """Judge what the pairs of a part show.

    Args:
        part: The part.
        facts: All its pairs.
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
        cure = 'look at it and correct the file names'
        findings.append(pairs_finding('unrelated', part.name, verbs, cure, unrelated, len(judged)))
    if len(unrelated) > len(related):
        return findings  # what the few say of the data is chance
    findings += [*_exchanged(part, related), *_misaligned(part, related)]
    # the blur of a camera is no average of frames, and that of wrong pairs means nothing
    if part.layout != 'realblur' and not any(finding.level == FAULT for finding in findings):
        findings += _which_average(part, measured)
    if len(judged) < len(measured) / 2:
        text = (
            f'{len(measured) - len(judged)} of {len(measured)} pairs are too small or too smooth '
            'to tell whether they are exchanged, displaced or unrelated'
        )
        findings.append(Finding(NOTE, 'unjudged', part.name, text))
    return findings


def _exchanged(part: Part, judged: Mapping[str, DetailMeasures]) -> Iterator[Finding]:
    """Report pairs whose sharp image is blurrier than the blurry one."""
    if not judged:
        return
    sharpness = {key: pair.sharpness for key, pair in judged.items()}
    wrong = [key for key, value in sharpness.items() if value > _SHARPER]
    if np.median(list(sharpness.values())) > 1:
        more = [value for value in sharpness.values() if value > 1]
        text = (
            f'blurry and sharp are exchanged: in {len(more)} of {len(judged)} pairs the sharp '
            'image is the blurrier one'
        )
        yield Finding(FAULT, 'exchanged', part.name, text, 'exchange the two folders')
    elif wrong:
        verbs = (
            'has the blurrier image as the sharp one',
            'have the blurrier image as the sharp one',
        )
        cure = 'look at it and exchange the images, or remove the pair'
        yield pairs_finding('exchanged', part.name, verbs, cure, wrong, len(judged))


def _misaligned(part: Part, related: Mapping[str, DetailMeasures]) -> Iterator[Finding]:
    """Report images that are displaced by more than blur explains."""
    if not related:
        return
    excess = np.array([pair.excess for pair in related.values()])
    shifts = np.array([pair.shift for pair in related.values()])
    middle = np.median(shifts, 0)
    # of the median, from the median deviation; the floor is for images that are all alike
    error = (
        1.25 * np.maximum(1.48 * np.median(np.abs(shifts - middle), 0), 0.1) / len(related) ** 0.5
    )
    cure = 'crop and align both images of a pair alike'
    if len(related) >= _MIN_PAIRS and (np.abs(middle) > np.maximum(_SHIFT, _SIGMAS * error)).any():
        x, y = middle
        text = f'the blurry images are displaced alike, by ({x:.1f}, {y:.1f}) pixels (right, down)'
        yield Finding(FAULT, 'misaligned', part.name, text, cure)
        return
    if len(related) >= _MIN_PAIRS and np.median(excess) > _MEDIAN_EXCESS:
        text = (
            f'most pairs are displaced, by {np.median(np.hypot(*shifts.T)):.1f} pixels in the '
            'median, more than blur explains'
        )
        cure = 'see whether the names of the frames are off by one, or align the images'
        yield Finding(FAULT, 'misaligned', part.name, text, cure)
        return
    wrong = [
        '{} by ({:.0f}, {:.0f})'.format(key, *pair.shift)
        for key, pair in related.items()
        if pair.excess > _EXCESS
    ]
    if wrong:
        verbs = tuple(f'{verb} displaced by more than blur explains' for verb in ('is', 'are'))
        cure = 'look at it, and align or remove the pair'
        yield pairs_finding('misaligned', part.name, verbs, cure, wrong, len(related))


def _which_average(part: Part, measured: Sequence[PairMeasures]) -> Iterator[Finding]:
    """Say how the frames were averaged, and whether that is what the folder's name says.

    An average keeps the mean of what it was taken of: of v ** p, where p is 1 as coded and 2.2 in
    linear light. In the middle between them, the sign of the difference tells the two apart.
    """
    values = np.array([pair.brightening for pair in measured])
    if not len(values):
        return
    signs = np.sign(values[:, np.abs(EXPONENTS - 1.6).argmin()])
    linear = bool(signs.sum() > 0)
    agree, total = int((signs == (1 if linear else -1)).sum()), len(signs)
    if agree < _AGREEMENT * total or 2 * agree - total <= _SIGN_SIGMAS * total**0.5:
        text = f'{plural(total, "pair")} cannot tell an average as coded from one in linear light'
        yield Finding(NOTE, 'average', part.name, text)
        return
    kind = 'brighter than averages as coded (linear light, as in blur_gamma)'
    if not linear:
        kind = 'as bright as averages as coded (as in blur of GoPro)'
    text = f'the blurry images are {kind}, say {agree} of {total} pairs'
    kept = np.flatnonzero(np.diff(np.sign(values.mean(0))))
    if len(kept) == 1:
        text += f'; the exponent that fits best is {EXPONENTS[kept[0]]:.1f}'
    if part.is_gopro and part.dataset.blur_key == ('blur' if linear else 'blur_gamma'):
        cure = 'unpack the data set again; results on the two kinds of blur cannot be compared'
        yield Finding(WARNING, 'average', part.name, text, cure)
    else:
        yield Finding(NOTE, 'average', part.name, text)


def find_in_blur_folders(
    blur: Tuple[Part, Sequence[PairFacts]], gamma: Tuple[Part, Sequence[PairFacts]]
) -> List[Finding]:
    """Judge whether ``blur`` and ``blur_gamma`` of one split are what their names say.

    Args:
        blur: The part that reads ``blur``, and its pairs.
        gamma: The one that reads ``blur_gamma``.
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
        text = f'{len(same)} of {len(both)} images are the same as those of blur'
        return [Finding(FAULT, 'blur_folders', part.name, text, 'unpack the data set again', same)]
    brighter = sum(larger for _, _, larger in both)
    if len(both) >= _MIN_PAIRS and brighter < (1 - _AGREEMENT) * len(both):
        text = (
            f'blur and blur_gamma are exchanged: in {len(both) - brighter} of {len(both)} frames '
            'blur is the brighter one, as an average in linear light is'
        )
        return [Finding(FAULT, 'blur_folders', part.name, text, 'exchange the folders')]
    return []
