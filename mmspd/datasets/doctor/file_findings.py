"""Checks of the files: readable, 8-bit color, equal sizes, no image twice or in two splits."""

from collections import defaultdict
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from mmspd.datasets.doctor.findings import FAULT, LEAVE_OUT, NOTE, WARNING, Finding, plural
from mmspd.datasets.doctor.images import ImageFacts
from mmspd.datasets.doctor.inventory import Part
from mmspd.datasets.doctor.measures import PairMeasures

__all__ = ['PairFacts', 'find_in_files', 'find_leakage']


class PairFacts(NamedTuple):
    """Facts about a pair.

    Attributes:
        key: Key of the pair.
        names: The blurry and the sharp file, relative to the folder of the data set.
        images: Facts about the blurry and the sharp image.
        measures: Comparison of the two images; ``None`` if they cannot be compared.
    """

    key: str
    names: Tuple[str, str]
    images: Tuple[ImageFacts, ImageFacts]
    measures: Optional[PairMeasures] = None


def find_in_files(part: Part, facts: Sequence[PairFacts], crop: int) -> List[Finding]:
    """Find unreadable files, images that are not 8-bit color, wrong sizes and duplicates.

    Args:
        part: The part.
        facts: Facts about all pairs of the part.
        crop: Side of the training crop in pixels.

    Returns:
        The findings.
    """
    return [
        *_unreadable(part, facts),
        *_kinds(part, facts),
        *_sizes(part, facts, crop),
        *_duplicates(part, facts),
    ]


def _files(facts: Sequence[PairFacts]) -> Dict[str, ImageFacts]:
    """Return a dict from file name to facts. Several pairs may share an image and its entry."""
    return {name: image for pair in facts for name, image in zip(pair.names, pair.images)}


def _unreadable(part: Part, facts: Sequence[PairFacts]) -> Iterator[Finding]:
    """Find files that cannot be decoded."""
    bad = [f'{name}: {image.problem}' for name, image in _files(facts).items() if image.problem]
    if bad:
        text = plural(len(bad), 'file', 'cannot be read')
        cure = f'copy each file again, or {LEAVE_OUT}'
        yield Finding(FAULT, 'unreadable', part.name, text, cure, tuple(bad))


def _kinds(part: Part, facts: Sequence[PairFacts]) -> Iterator[Finding]:
    """Find images that are not 8-bit color."""
    by_kind = defaultdict(list)
    for name, image in _files(facts).items():
        by_kind[image.kind].append(name)
    texts = {
        'gray': ('is gray', 'are gray'),
        'alpha': ('has an alpha channel', 'have an alpha channel'),
        '16-bit': ('has 16 bits per channel', 'have 16 bits per channel'),
    }
    cure = 'convert to 8-bit RGB or pack the data with mmspd pack --to-rgb'
    for kind, verbs in texts.items():
        if by_kind[kind]:
            names = tuple(by_kind[kind])
            yield Finding(FAULT, kind, part.name, plural(len(names), 'image', *verbs), cure, names)


def _sizes(part: Part, facts: Sequence[PairFacts], crop: int) -> Iterator[Finding]:
    """Find pairs whose images differ in size, pairs smaller than the crop, and mixed sizes."""
    sizes: Dict[str, Tuple[int, int]] = {}
    differing = []
    for pair in facts:
        blurry, sharp = (image.size for image in pair.images)
        if blurry is None or sharp is None:
            continue
        sizes[pair.key] = blurry
        if blurry != sharp:
            values = pair.names[0], *blurry, pair.names[1], *sharp
            differing.append('{} is {}x{}, {} is {}x{}'.format(*values))
    if differing:
        text = plural(len(differing), 'pair', 'has', 'have') + ' images of unequal size'
        cure = 'take both images of a pair from one source'
        yield Finding(FAULT, 'size', part.name, text, cure, tuple(differing))
    small = tuple(key for key, size in sizes.items() if min(size) < crop)
    if small and part.is_training:
        text = (
            plural(len(small), 'pair', 'is', 'are')
            + f' smaller than the training crop of {crop} pixels'
        )
        cure = f'lower gt_patch_size in the pipeline, or {LEAVE_OUT}'
        yield Finding(WARNING, 'small', part.name, text, cure, small)
    different = sorted(set(sizes.values()), key=lambda size: (size[0] * size[1], size))
    if len(different) > 1:
        smallest, largest = ('{}x{}'.format(*size) for size in (different[0], different[-1]))
        text = f'the images have {len(different)} sizes, from {smallest} to {largest}'
        yield Finding(NOTE, 'sizes', part.name, text)


def _duplicates(part: Part, facts: Sequence[PairFacts]) -> Iterator[Finding]:
    """Find images with equal pixels."""
    blurry: Dict[bytes, List[str]] = defaultdict(list)
    sharp: Dict[bytes, List[str]] = defaultdict(list)
    unblurred = []
    for pair in facts:
        digests = [image.digest for image in pair.images]
        if digests[0]:
            blurry[digests[0]].append(pair.names[0])
        if digests[1]:
            sharp[digests[1]].append(pair.names[1])
        if digests[0] and digests[0] == digests[1]:
            unblurred.append(pair.key)
    if unblurred:
        text = plural(len(unblurred), 'blurry image', 'is', 'are') + ' equal to the sharp image'
        cure = f'copy the blurry image again, or {LEAVE_OUT}'
        yield Finding(WARNING, 'unblurred', part.name, text, cure, tuple(unblurred))
    twice = tuple(' = '.join(names) for names in blurry.values() if len(names) > 1)
    if twice:
        text = plural(len(twice), 'blurry image', 'is', 'are') + ' present more than once'
        yield Finding(WARNING, 'duplicate', part.name, text, LEAVE_OUT, twice)
    shared = [names for names in sharp.values() if len(names) > 1]
    if shared and not twice:
        text = f'{sum(map(len, shared))} pairs share {plural(len(shared), "sharp image")}'
        yield Finding(NOTE, 'shared', part.name, text)


def find_leakage(parts: Sequence[Tuple[Part, Sequence[PairFacts]]]) -> List[Finding]:
    """Find images of the training parts that are also in other parts.

    Args:
        parts: All parts and the facts about their pairs.

    Returns:
        A finding for each part with such images.
    """
    seen: Dict[Optional[bytes], str] = {}
    for part, facts in parts:
        if part.is_training:
            seen.update({image.digest: name for name, image in _files(facts).items()})
    seen.pop(None, None)
    findings = []
    for part, facts in parts:
        if part.is_training:
            continue
        leaked = tuple(
            f'{seen[image.digest]} = {name}'
            for name, image in _files(facts).items()
            if image.digest in seen
        )
        if leaked:
            text = plural(len(leaked), 'image', 'is', 'are') + ' also in the training data'
            cure = (
                f'for this part or for the training data, {LEAVE_OUT}, because a test on training '
                'images is invalid'
            )
            findings.append(Finding(FAULT, 'leakage', part.name, text, cure, leaked))
    return findings
