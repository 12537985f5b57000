"""Run all checks on a data set and report the findings."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from tqdm import tqdm

from mmspd.datasets.doctor.content_findings import find_in_blur_folders, find_in_content
from mmspd.datasets.doctor.file_findings import PairFacts, find_in_files, find_leakage
from mmspd.datasets.doctor.findings import FAULT, NOTE, WARNING, Finding, plural
from mmspd.datasets.doctor.images import examine_image
from mmspd.datasets.doctor.inventory import Part, take_inventory
from mmspd.datasets.doctor.measures import measure_pair
from mmspd.datasets.layouts import recognize
from mmspd.datasets.packs.pack import PIXELS, read_pack
from mmspd.datasets.pair_names import ANY_NAME
from mmspd.datasets.paired import Pair
from mmspd.errors import UserError
from mmspd.utils.parallel import map_in_processes

__all__ = ['Report', 'check_data']

_LEVELS = (FAULT, WARNING, NOTE)
_EXIT_CODES = {FAULT: 3, WARNING: 2, NOTE: 0}


@dataclass(frozen=True)
class Report:
    """The findings of :func:`check_data`.

    Args:
        root: Folder of the data set.
        layout: Layout of the data set, or ``'pack'``.
        pairs: A dict from the name of each part (such as a split) to its number of pairs.
        quick: Whether only names and headers were read.
        findings: The findings, sorted by level: faults, warnings, notes.
    """

    root: Path
    layout: str
    pairs: Dict[str, int]
    quick: bool
    findings: List[Finding]

    @property
    def exit_code(self) -> int:
        """Exit code of ``check.py``: 3 for faults, 2 for warnings without faults, otherwise 0."""
        return max((_EXIT_CODES[finding.level] for finding in self.findings), default=0)

    @property
    def verdict(self) -> str:
        """The summary in one sentence."""
        faults, warnings = (
            sum(finding.level == level for finding in self.findings) for level in (FAULT, WARNING)
        )
        total = sum(self.pairs.values())
        extent = 'names and headers only' if self.quick else 'all images read'
        if faults:
            counts = f'{plural(faults, FAULT)} and {plural(warnings, WARNING)}'
            return f'{counts}; fix the faults before you use this data.'
        if warnings:
            return f'{plural(warnings, WARNING)}, no fault; look at the data before you use it.'
        return f'No problem was found in {plural(total, "pair")} ({extent}).'

    def text(self) -> str:
        """Return the report as text: the parts, a line per finding, the verdict."""
        parts = ', '.join(f'{name} ({plural(count, "pair")})' for name, count in self.pairs.items())
        lines = [f"'{self.root}', layout {self.layout}: {parts}"]
        lines += [finding.line() for finding in self.findings]
        return '\n'.join([*lines, f'Verdict: {self.verdict}'])

    def to_dict(self) -> Dict[str, Any]:
        """Return the report as plain values for JSON."""
        own = dict(root=str(self.root), verdict=self.verdict, exit_code=self.exit_code)
        return {**asdict(self), **own}


def check_data(
    root: Path,
    workers: int = 0,
    quick: bool = False,
    crop: int = 256,
    blur_template: str = ANY_NAME,
    sharp_template: str = ANY_NAME,
) -> Report:
    """Check a data set or a pack. No file is changed.

    Args:
        root: Folder of a data set or of a pack. :func:`~mmspd.datasets.layouts.recognize` lists
            the layouts of data sets. For a pack, only the checksums are checked.
        workers: Number of processes that read images; 0 uses this process.
        quick: Whether to check only names, counts and image headers.
        crop: Side of the training crop in pixels. Smaller images give a warning.
        blur_template: Name template of blurry images; see
            :class:`~mmspd.datasets.folders.PairedFolderDataset`.
        sharp_template: Name template of sharp images.

    Returns:
        The report.

    Raises:
        UserError: The folder does not exist or its layout is unknown.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from mmspd.datasets.doctor import check_data
        >>> from mmspd.datasets.image_io import write_png
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ('input/cat.png', 'input/dog.png', 'target/cat.png'):
        ...         write_png(Path(root, name), np.zeros((32, 32, 3), np.uint8))
        ...     report = check_data(Path(root), quick=True, crop=32)
        >>> report.findings[0].text, report.exit_code
        ('1 blurry image has no sharp image', 3)
    """
    if (root / PIXELS).is_file():
        return _check_pack(root, quick)
    parts, findings = [], []
    for split in recognize(root, blur_template, sharp_template):
        part, wrong = take_inventory(split)
        parts.append(part)
        findings += wrong
    examined = list(zip(parts, _examine_all(parts, workers, quick)))
    for part, facts in examined:
        findings += find_in_files(part, facts, crop) + find_in_content(part, facts)
    findings += find_leakage(examined)
    by_blur = {(one[0].split, getattr(one[0].dataset, 'blur_key', '')): one for one in examined}
    for (name, blur_key), gamma in by_blur.items():
        if blur_key == 'blur_gamma' and (name, 'blur') in by_blur:
            findings += find_in_blur_folders(by_blur[name, 'blur'], gamma)
    findings.sort(key=lambda finding: _LEVELS.index(finding.level))
    pairs = {part.name: len(part.pairs) for part in parts}
    return Report(root, parts[0].layout, pairs, quick, findings)


def _check_pack(path: Path, quick: bool) -> Report:
    """Check the checksums of a pack. The other checks need the data set itself."""
    try:
        pack = read_pack(path)
        pairs = {path.name: len(pack.pairs)}
        damaged = () if quick else tuple(pack.verify())
    except UserError as error:
        return Report(path, 'pack', {}, quick, [Finding(FAULT, 'layout', path.name, str(error))])
    text = plural(len(damaged), 'image', 'is damaged', 'are damaged')
    cure = 'make the pack again with mmspd pack'
    findings = [Finding(FAULT, 'unreadable', path.name, text, cure, damaged)] if damaged else []
    return Report(path, 'pack', pairs, quick, findings)


def _examine_all(parts: Sequence[Part], workers: int, quick: bool) -> List[List[PairFacts]]:
    """Read the pairs of all parts, and return the facts for each part, in order."""
    jobs = [
        (pair, (part.relative(pair.blur), part.relative(pair.sharp)))
        for part in parts
        for pair in part.pairs
    ]
    results = map_in_processes(partial(_examine, quick), jobs, workers)
    remaining = iter(list(tqdm(results, total=len(jobs), unit='pair')))
    return [[next(remaining) for _ in part.pairs] for part in parts]


def _examine(quick: bool, job: Tuple[Pair, Tuple[str, str]]) -> PairFacts:
    """Read both images of a pair. Compare the images if both are readable and equal in size."""
    pair, names = job
    blurry, sharp = (examine_image(path, quick) for path in (pair.blur, pair.sharp))
    images = blurry[0], sharp[0]
    measures = None
    if blurry[1] is not None and sharp[1] is not None and blurry[1].shape == sharp[1].shape:
        measures = measure_pair(blurry[1], sharp[1])
    return PairFacts(pair.key, names, images, measures)
