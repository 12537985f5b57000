"""A folder of sharp photos turned into a data set of blurry and sharp pairs."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from mmspd.datasets.blur.synthesis import BlurSpec, synthesize_blur
from mmspd.datasets.image_io import images_by_stem, list_names, read_rgb, write_png
from mmspd.datasets.records import RECORDS_NAME
from mmspd.errors import UserError
from mmspd.utils.files import write_text
from mmspd.utils.parallel import map_in_processes

__all__ = ['FolderPlan', 'claim_folder', 'synthesize_folder']

#: Left in every sequence once it is complete, and read when an interrupted run is taken up again.
_DONE_NAME = 'record.json'
_SETTINGS_NAME = 'settings.json'


@dataclass(frozen=True)
class FolderPlan:
    """What to make of a folder of photos.

    Args:
        specs: Blurs; each pair gets one of them.
        per_image: Pairs made from each photo.
        train_share: Share of the photos that go to ``train``; the others go to ``test``.
        seed: Seed of the split and of every blur, not negative.
        in_turn: Give the pairs of a photo the blurs one after the other, as often each; otherwise
            each pair draws its own.

    Raises:
        UserError: A value is out of its range.
    """

    specs: Tuple[BlurSpec, ...]
    per_image: int = 1
    train_share: float = 0.9
    seed: int = 0
    in_turn: bool = False

    def __post_init__(self) -> None:
        if not self.specs:
            raise UserError('give at least one severity')
        if self.per_image < 1:
            raise UserError(f'a photo gives at least one pair, not {self.per_image}')
        if not 0 <= self.train_share <= 1:
            raise UserError(f'the share of training photos is in [0, 1], not {self.train_share}')
        if self.seed < 0:
            raise UserError(f'the seed is not negative, {self.seed} is')


@dataclass(frozen=True)
class _Job:
    """One photo, where its pairs go and what they are."""

    photo: Path
    name: str
    folder: Path
    plan: FolderPlan


def synthesize_folder(
    source: Path, out: Path, plan: FolderPlan, workers: int = 0, skip_unusable: bool = False
) -> Dict[str, int]:
    """Make blurry and sharp pairs from every photo below a folder, in the layout of GOPRO_Large.

    The pairs of ``<source>/a/b.jpg`` are ``<out>/<split>/a__b/{blur,sharp}/NNNNNN.png``, and
    ``<out>/<split>/records.jsonl`` tells the blur of each. They depend on the seed and the photo's
    name, not on the number of workers. All pairs of a photo are in the same split. A repeated call
    makes what is missing. The photos themselves are only read.

    Args:
        source: Folder of sharp photos, searched at any depth.
        out: Folder of the result; it may hold an earlier one of the same plan and photos.
        plan: What to make.
        workers: Processes that work at the same time; 0 is this one.
        skip_unusable: Leave out photos that cannot be used instead of refusing the folder.

    Returns:
        Number of pairs in ``train`` and in ``test``, and of photos left out as ``skipped``.

    Raises:
        UserError: There is no photo, one cannot be used, ``out`` holds something else or lies in
            ``source``, or the disk is full.
    """
    photos = _find_photos(source, out)
    jobs = _assign(photos, out, plan)
    names = hashlib.sha256('\n'.join(sorted(photos)).encode('utf-8')).hexdigest()
    settings = {'plan': asdict(plan), 'photos': len(photos), 'names': names}
    claim_folder(out, json.dumps(settings, indent=1))
    outcomes = tqdm(map_in_processes(_run, jobs, workers), total=len(jobs), unit='pair')
    unusable = [sentence for sentence in outcomes if sentence]
    if unusable and (len(unusable) == len(jobs) or not skip_unusable):
        raise UserError(
            f'{len(unusable)} of {len(jobs)} photos cannot be used (the first: {unusable[0]}): '
            'remove them, or skip unusable photos'
        )
    return {**_write_records(jobs, out), 'skipped': len(unusable)}


def _find_photos(source: Path, out: Path) -> Dict[str, Path]:
    """Find the photos by the name of the sequence that they become."""
    if not source.is_dir():
        raise UserError(f"the folder of sharp photos '{source}' does not exist")
    if source.resolve() in (out.resolve(), *out.resolve().parents):
        raise UserError(f"the output '{out}' lies in the photos' folder: choose one outside")
    stems = images_by_stem(source)
    if not stems:
        raise UserError(f"there is no photo in '{source}' (it holds {list_names(source)})")
    photos = {stem.replace('/', '__'): path for stem, path in stems.items()}
    if len(photos) < len(stems):
        raise UserError(
            f"two photos in '{source}' differ only in '/' and '__' in their names: rename one"
        )
    return photos


def _name_number(name: str) -> int:
    """Return a number that depends on a name alone, on any platform."""
    return int.from_bytes(hashlib.sha256(name.encode('utf-8')).digest()[:8], 'big')


def _assign(photos: Dict[str, Path], out: Path, plan: FolderPlan) -> List[_Job]:
    """Put whole photos into train or test, at random but fixed by seed and names."""
    names = sorted(photos, key=lambda name: _name_number(f'{plan.seed}/{name}'))
    count = round(len(names) * plan.train_share)
    if 0 < plan.train_share < 1:
        if len(names) == 1:
            raise UserError(
                'one photo cannot be split into train and test: give more, or a split ratio of '
                '1 (all to train) or 0 (all to test)'
            )
        count = min(max(count, 1), len(names) - 1)
    train = set(names[:count])
    return [
        _Job(photos[name], name, out / ('train' if name in train else 'test') / name, plan)
        for name in sorted(photos)
    ]


def claim_folder(out: Path, settings: str) -> None:
    """Refuse to mix with another result in the same folder, which could leak photos into test.

    Args:
        out: Folder of a result; it may be absent, empty, or hold one of the same settings.
        settings: All that the result depends on, kept in the folder.

    Raises:
        UserError: The folder holds something else.
    """
    path = out / _SETTINGS_NAME
    if path.is_file():
        if path.read_text('utf-8') != settings:
            raise UserError(
                f"'{out}' was made with other settings or photos ({path.name} there): choose "
                'another output folder, or delete this one'
            )
    elif out.is_dir() and any(out.iterdir()):
        raise UserError(
            f"'{out}' holds something else ({list_names(out)}): choose an empty output folder"
        )
    else:
        write_text(path, settings)


def _run(job: _Job) -> Optional[str]:
    """Make the pairs of a photo, unless they are there; return why it cannot be used, if so."""
    files = [
        (job.folder / 'blur' / f'{copy:06d}.png', job.folder / 'sharp' / f'{copy:06d}.png')
        for copy in range(job.plan.per_image)
    ]
    done = job.folder / _DONE_NAME
    if done.is_file() and all(path.is_file() for pair in files for path in pair):
        return None
    try:
        sharp = read_rgb(job.photo)
    except UserError as error:
        return str(error)
    records = []
    for copy, (blur_path, sharp_path) in enumerate(files):
        seeds = np.random.SeedSequence([job.plan.seed, _name_number(job.name), copy])
        rng = np.random.default_rng(seeds)
        specs = job.plan.specs
        spec = specs[copy % len(specs) if job.plan.in_turn else rng.integers(len(specs))]
        try:
            blurry, record = synthesize_blur(sharp, rng, spec)
        except UserError as error:
            return f"'{job.photo}': {error}"
        write_png(blur_path, blurry)
        write_png(sharp_path, sharp)
        key = f'{job.name}/{copy:06d}'
        records.append({'key': key, **asdict(record), 'seed': seeds.entropy})
    write_text(done, json.dumps(records))
    return None


def _write_records(jobs: Sequence[_Job], out: Path) -> Dict[str, int]:
    """Gather the records of each split in one file; return the number of pairs by split."""
    by_split: Dict[str, List[Dict[str, Any]]] = {'train': [], 'test': []}
    for job in jobs:
        done = job.folder / _DONE_NAME
        if done.is_file():
            by_split[job.folder.parent.name] += json.loads(done.read_text('utf-8'))
    for split, records in by_split.items():
        if records:
            lines = [json.dumps(record) for record in records]
            write_text(out / split / RECORDS_NAME, '\n'.join(lines) + '\n')
    return {split: len(records) for split, records in by_split.items()}
