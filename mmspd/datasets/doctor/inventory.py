"""Find the pairs of each part of a data set, images without partners, and missing images."""

import difflib
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, Sequence, Tuple

from mmspd.datasets.doctor.findings import FAULT, NOTE, WARNING, Finding, plural
from mmspd.datasets.image_io import images_by_stem
from mmspd.datasets.layouts import DatasetSplit
from mmspd.datasets.pair_names import sort_images
from mmspd.datasets.paired import LIST_NAME, Pair, PairedImageDataset
from mmspd.datasets.records import RECORDS_NAME
from mmspd.errors import UserError
from mmspd.registry import DATASETS
from mmspd.utils.walk import list_folder

__all__ = ['Part', 'take_inventory']

_GOPRO_SEQUENCE = re.compile(r'(GOPR\d{4})_\d{2}_\d{2}')
#: Number of frames of the GoPro test sequences that do not have 100 frames.
_GOPRO_TEST = {'GOPR0410': 134, 'GOPR0862': 77}
#: Maximum number of files for which similar names are searched, because the search is slow.
_SUGGESTIONS = 50


@dataclass(frozen=True)
class Part:
    """A split of a data set and the pairs that were found in it.

    Args:
        layout: Layout of the data set, as in :class:`~mmspd.datasets.layouts.DatasetSplit`.
        split: Name of the split; ``''`` if there are no splits.
        dataset: Dataset that reads the split.
        pairs: Pairs with both files present.
    """

    layout: str
    split: str
    dataset: PairedImageDataset
    pairs: List[Pair]

    @property
    def root(self) -> Path:
        """Folder of the data set."""
        return Path(self.dataset.data_root)

    @property
    def name(self) -> str:
        """Name of the part in the report."""
        names = dict(
            gopro='{split}/*/{blur_key}',
            hide='{split}',
            realblur='{subset} {split}',
            pairs='{blur_dir}',
            list='{split}',
        )
        choices = dict(dict(split='', blur_dir=''), **self.dataset.choices())
        return names[self.layout].format(**choices) or self.root.resolve().name

    @property
    def is_training(self) -> bool:
        """Whether the name of the split begins with ``train``, or there are no splits."""
        return not self.split or self.split.startswith('train')

    @property
    def is_gopro(self) -> bool:
        """Whether the part has the sequence names of GOPRO_Large and no records."""
        if self.layout != 'gopro' or (self.root / self.split / RECORDS_NAME).exists():
            return False
        return all(_GOPRO_SEQUENCE.fullmatch(pair.key.split('/')[0]) for pair in self.pairs)

    def relative(self, path: Path) -> str:
        """Return a path relative to ``root``, or the path itself if the file is elsewhere."""
        return (path.relative_to(self.root) if self.root in path.parents else path).as_posix()


def take_inventory(split: DatasetSplit) -> Tuple[Part, List[Finding]]:
    """Find the pairs of a split, and the problems with its folders and names.

    Args:
        split: A split from :func:`~mmspd.datasets.layouts.recognize`.

    Returns:
        The part of the data set with the pairs that were found, and the findings.
    """
    dataset = DATASETS.build(dict(split.dataset, lazy_init=True))
    part, findings = Part(split.layout, split.split, dataset, []), []
    try:
        # find the pairs in the same way as training; _search is only used to explain an error
        part.pairs.extend(dataset.find_pairs())
    except UserError as error:
        findings = _search(part, str(error))
    return part, findings + _count(part) + _unused(part)


def _unused(part: Part) -> List[Finding]:
    """Name the images that fit no name template."""
    if part.layout != 'pairs' or not part.pairs:
        return []
    _, unused = sort_images(part.dataset.places())
    verbs = 'fits no template and is not used', 'fit no template and are not used'
    text = plural(len(unused), 'image', *verbs)
    names = tuple(map(part.relative, unused))
    return [Finding(NOTE, 'unused', part.name, text, names=names)] if unused else []


def _search(part: Part, refusal: str) -> List[Finding]:
    """Find the valid pairs of a faulty split, and the images without partners."""
    search = _search_list if part.layout in ('realblur', 'list') else _search_folders
    try:
        findings = search(part)
    except UserError as error:  # two files with one name, or a damaged list
        return [Finding(FAULT, 'layout', part.name, str(error))]
    return findings or [Finding(FAULT, 'layout', part.name, refusal)]


def _search_list(part: Part) -> List[Finding]:
    """Find the complete pairs of a list file, and the missing images."""
    listed = part.dataset.listed_pairs()
    files = {file for pair in listed for file in (pair.blur, pair.sharp)}
    missing = sorted(file for file in files if not file.is_file())
    absent = set(missing)
    part.pairs.extend(pair for pair in listed if absent.isdisjoint((pair.blur, pair.sharp)))
    folders = {file.parent for file in missing if file.parent.is_dir()}
    present = (path for folder in folders for path in map(Path, list_folder(folder)))
    unlisted = [file for file in present if file not in files]
    words = 'image', 'of the list is missing', 'of the list are missing'
    return _partner_finding(part, words, _by_name(missing), _by_name(unlisted))


def _by_name(files: Iterable[Path]) -> Dict[str, Path]:
    """Return a dict from the path of each file, without suffix, to the file."""
    return {file.with_suffix('').as_posix(): file for file in files}


def _search_folders(part: Part) -> List[Finding]:
    """Find the pairs by name, and the images without partners."""
    blurry, sharp, spare = _LISTS[part.layout](part)
    part.pairs.extend(Pair(key, blurry[key], sharp[key]) for key in blurry if key in sharp)
    findings = []
    for words, files, partners in (
        (('blurry image', 'has no sharp image', 'have no sharp image'), blurry, sharp),
        (('sharp image', 'has no blurry image', 'have no blurry image'), sharp, blurry),
    ):
        unpaired = {key: path for key, path in files.items() if key not in partners}
        candidates = {key: path for key, path in partners.items() if key not in files}
        findings += _partner_finding(part, words, unpaired, {**spare, **candidates})
    return findings


def _partner_finding(
    part: Part, words: Sequence[str], unpaired: Dict[str, Path], candidates: Dict[str, Path]
) -> List[Finding]:
    """Return the finding for files without partners; suggest a similar name for each file."""
    if not unpaired:
        return []
    by_folder: Dict[str, Dict[str, Path]] = defaultdict(dict)
    for key, path in candidates.items():
        folder, _, name = key.rpartition('/')
        by_folder[folder][name] = path
    names: List[str] = []
    for key, path in unpaired.items():
        folder, _, name = key.rpartition('/')
        nearby = {**by_folder[''], **by_folder[folder]}  # HIDE: sharp images have no folder
        near = difflib.get_close_matches(name, nearby, 1, 0.8) if len(names) < _SUGGESTIONS else ()
        hint = f", did you mean '{part.relative(nearby[near[0]])}'?" if near else ''
        names.append(part.relative(path) + hint)
    cure = (
        'rename the file or add its partner, give --blur-template and --sharp-template to pair '
        f'other names, or list the pairs to use in a file {LIST_NAME}'
    )
    text = plural(len(unpaired), *words)
    return [Finding(FAULT, 'partner', part.name, text, cure, tuple(names))]


#: Three dicts. The first is from key to blurry image, the second is from key to sharp image. The
#: third is from name to sharp image without a blurry image. It is empty for all data except HIDE.
Lists = Tuple[Dict[str, Path], Dict[str, Path], Dict[str, Path]]


def _list_gopro(part: Part) -> Lists:
    """Return the images of all sequences."""
    lists: Tuple[Dict[str, Path], Dict[str, Path]] = ({}, {})
    for sequence in map(Path, list_folder(part.root / part.split)):
        for files, folder in zip(lists, (part.dataset.blur_key, 'sharp')):
            images = images_by_stem(sequence / folder) if (sequence / folder).is_dir() else {}
            files.update({f'{sequence.name}/{stem}': path for stem, path in images.items()})
    return (*lists, {})


def _list_hide(part: Part) -> Lists:
    """Return the images of the split, and the unused images of the common sharp folder."""
    blurry = images_by_stem(part.root / part.split)
    sharp = {path.stem: path for path in images_by_stem(part.root / 'GT').values()}
    used = {key: sharp[path.stem] for key, path in blurry.items() if path.stem in sharp}
    taken = set(used.values())
    return blurry, used, {name: path for name, path in sharp.items() if path not in taken}


def _list_folders(part: Part) -> Lists:
    """Return the images of the two folders."""
    (blurry, sharp), _ = sort_images(part.dataset.places())
    return blurry, sharp, {}


_LISTS = dict(gopro=_list_gopro, hide=_list_hide, pairs=_list_folders)


def _count(part: Part) -> List[Finding]:
    """Compare the number of pairs of an official data set with the official number."""
    expected = part.dataset.OFFICIAL_PAIRS.get(part.split)
    claimed = part.layout in ('hide', 'realblur') or part.is_gopro
    if not part.pairs or not claimed or expected in (None, len(part.pairs)):
        return []
    odd: Tuple[str, ...] = ()
    if part.is_gopro and part.split == 'test':
        sequences = Counter(pair.key.split('/')[0] for pair in part.pairs)
        odd = tuple(
            f'{name} has {count} of {_GOPRO_TEST.get(name[:8], 100)}'
            for name, count in sorted(sequences.items())
            if count != _GOPRO_TEST.get(name[:8], 100)
        )
    return [
        Finding(
            WARNING,
            'count',
            part.name,
            f'{plural(len(part.pairs), "pair")}, but the official split has {expected}',
            'unpack the data set again, because published results use all pairs of the split',
            odd,
        )
    ]
