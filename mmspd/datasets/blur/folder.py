"""Make a data set of blurry and sharp pairs from a folder of sharp photos."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from mmengine.logging import print_log
from tqdm import tqdm

from mmspd.datasets.blur.synthesis import BlurSpec, synthesize_blur
from mmspd.datasets.image_io import list_names, photos_by_key, read_rgb, write_png
from mmspd.datasets.records import RECORDS_NAME
from mmspd.errors import DiskFullError, UsageError, UserError, file_errors
from mmspd.utils.files import write_text
from mmspd.utils.json_text import parse_json
from mmspd.utils.parallel import map_in_processes
from mmspd.utils.severity import SEVERITIES
from mmspd.utils.skipped import one_line

__all__ = ['FolderPlan', 'claim_folder', 'synthesize_folder']

#: File that is written after all pairs of a photo are made. A repeated run skips this photo.
_DONE_NAME = 'record.json'
_SETTINGS_NAME = 'settings.json'
_SHOWN_PHOTOS = 8


@dataclass(frozen=True)
class FolderPlan:
    """Settings of :func:`synthesize_folder`.

    Args:
        specs: Settings of one or more blurs. Each pair gets one of these blurs.
        per_image: Pairs per photo, at least 1.
        train_share: Share of the photos for ``train``, in [0, 1]. The rest is for ``test``.
        seed: Seed of the split and of all blurs, at least 0.
        in_turn: Whether the pairs of a photo use the blurs in turn. Otherwise the blur of
            each pair is random.

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
            raise UserError('The plan has no blur; give at least one severity.')
        if self.per_image < 1:
            raise UserError(f'per_image={self.per_image} makes no pair; give at least 1.')
        if not 0 <= self.train_share <= 1:
            raise UserError(
                f'train_share={self.train_share} is not a share; give a number from 0 to 1.'
            )
        if self.seed < 0:
            raise UserError(f'seed={self.seed} is negative; give a seed of at least 0.')


@dataclass(frozen=True)
class _Job:
    """A photo, the folder of its pairs and the plan."""

    photo: Path
    name: str
    folder: Path
    plan: FolderPlan


def synthesize_folder(
    source: Path, out: Path, plan: FolderPlan, workers: int = 0, skip_unusable: bool = False
) -> Dict[str, int]:
    """Make blurry and sharp pairs from every photo below a folder, in the layout of GOPRO_Large.

    The pairs of ``<source>/a/b.jpg`` are ``<out>/<split>/a__b/{blur,sharp}/NNNNNN.png``.
    ``<out>/<split>/records.jsonl`` describes the blur of each pair. The random numbers of a pair
    depend on the seed and on the name of its photo, but not on the number of workers. All pairs of
    a photo are in one split. A repeated call makes only missing pairs. The photos are not modified.

    Args:
        source: Folder of sharp photos, searched at any depth.
        out: Output folder: new, empty, or the result of a run with equal settings and photos.
        plan: Settings of the blurs, the split and the seed.
        workers: Number of worker processes; 0 uses this process.
        skip_unusable: Whether to skip unusable photos instead of raising an error.

    Returns:
        A dict of the numbers of pairs (``train``, ``test``) and of unusable photos (``skipped``).

    Raises:
        UserError: There is no usable photo, a photo is unusable and ``skip_unusable`` is not set,
            ``out`` contains other files or is inside ``source``, or the disk is full.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from mmspd.datasets.blur.folder import FolderPlan, synthesize_folder
        >>> from mmspd.datasets.blur.synthesis import BlurSpec
        >>> from mmspd.datasets.image_io import write_png
        >>> plan = FolderPlan((BlurSpec('mild'), BlurSpec('severe')), per_image=2, in_turn=True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ('cat.png', 'dog.png'):
        ...         write_png(Path(folder, 'photos', name), np.zeros((32, 32, 3), np.uint8))
        ...     synthesize_folder(Path(folder, 'photos'), Path(folder, 'pairs'), plan)
        {'train': 2, 'test': 2, 'skipped': 0}
    """
    photos = _find_photos(source, out)
    jobs = _assign(photos, out, plan)
    names = hashlib.sha256(os.fsencode('\n'.join(sorted(photos)))).hexdigest()
    # the ranges are settings too: pairs made with other ranges must not be mixed with these
    settings = {
        'plan': asdict(plan),
        'severities': SEVERITIES,
        'photos': len(photos),
        'names': names,
    }
    claim_folder(out, json.dumps(settings, indent=1))
    outcomes = tqdm(map_in_processes(_run, jobs, workers), total=len(jobs), unit='pair')
    unusable = [sentence for sentence in outcomes if sentence]
    if unusable and (len(unusable) == len(jobs) or not skip_unusable):
        fix = 'give other photos'
        if len(unusable) < len(jobs):
            fix = 'give --skip-unusable to leave them out'
        raise UserError(
            f'{len(unusable)} of {len(jobs)} photos are unusable; {fix}. The first: {unusable[0]}'
        )
    for sentence in unusable[:_SHOWN_PHOTOS]:
        print_log(f'Skipped: {one_line(sentence)}', 'current')
    return {**_write_records(jobs, out), 'skipped': len(unusable)}


def _find_photos(source: Path, out: Path) -> Dict[str, Path]:
    """Find the photos. Return a dict from the output folder's name to the photo."""
    if not source.is_dir():
        raise UsageError(f"The folder of sharp photos '{source}' does not exist; correct the path.")
    if source.resolve() in (out.resolve(), *out.resolve().parents):
        raise UsageError(
            f"The output folder '{out}' is inside the folder of the photos '{source}'; choose an "
            'output folder outside of it.'
        )
    keys = photos_by_key(source)
    if not keys:
        raise UsageError(
            f"'{source}' has no photo (it holds {list_names(source)}); give a folder of photos."
        )
    photos = {key.replace('/', '__'): path for key, path in keys.items()}
    if len(photos) < len(keys):
        raise UsageError(
            f"Two photos in '{source}' get the same output name, in which '__' replaces '/'; "
            'rename one.'
        )
    return photos


def _name_number(name: str) -> int:
    """Convert a name to a hash number that does not depend on the platform."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], 'big')


def _assign(photos: Dict[str, Path], out: Path, plan: FolderPlan) -> List[_Job]:
    """Split the photos into train and test. The seed and the names determine the split."""
    names = sorted(photos, key=lambda name: _name_number(f'{plan.seed}/{name}'))
    count = round(len(names) * plan.train_share)
    if 0 < plan.train_share < 1:
        if len(names) == 1:
            raise UsageError(
                'One photo cannot be split into train and test; give more photos, or set '
                '--split-ratio to 1 (all for train) or 0 (all for test).'
            )
        count = min(max(count, 1), len(names) - 1)
    train = set(names[:count])
    return [
        _Job(photos[name], name, out / ('train' if name in train else 'test') / name, plan)
        for name in sorted(photos)
    ]


def claim_folder(out: Path, settings: str) -> None:
    """Write the settings to a new output folder, or check that the folder has equal settings.

    If data sets with different settings were mixed in one folder, one photo could be in both train
    and test.

    Args:
        out: Output folder: new, empty, or the result of a run with equal settings.
        settings: Text with all settings that change the result.

    Raises:
        UsageError: The folder contains other files, or a result with different settings.
    """
    path = out / _SETTINGS_NAME
    if path.is_file():
        if path.read_bytes() != settings.encode('utf-8'):
            raise UsageError(
                f"'{out}' was made with other settings or photos (see '{path}'); choose another "
                'output folder or delete this folder.'
            )
    elif out.is_dir() and any(out.iterdir()):
        raise UsageError(
            f"'{out}' contains other files ({list_names(out)}); choose an empty output folder."
        )
    else:
        write_text(path, settings)


def _run(job: _Job) -> Optional[str]:
    """Make the missing pairs of a photo; return a message if the photo is unusable."""
    try:
        with file_errors(job.photo):
            _make_pairs(job)
    except DiskFullError:
        raise
    except UserError as error:
        photo, sentence = str(job.photo), str(error)
        return sentence if photo in sentence else f"'{photo}': {sentence}"
    return None


def _make_pairs(job: _Job) -> None:
    """Make the missing pairs of a photo."""
    files = [
        (job.folder / 'blur' / f'{copy:06d}.png', job.folder / 'sharp' / f'{copy:06d}.png')
        for copy in range(job.plan.per_image)
    ]
    done = job.folder / _DONE_NAME
    if _read_record(done) is not None and all(path.is_file() for pair in files for path in pair):
        return
    sharp = read_rgb(job.photo)
    records = []
    for copy, (blur_path, sharp_path) in enumerate(files):
        seeds = np.random.SeedSequence([job.plan.seed, _name_number(job.name), copy])
        rng = np.random.default_rng(seeds)
        specs = job.plan.specs
        spec = specs[copy % len(specs) if job.plan.in_turn else rng.integers(len(specs))]
        blurry, record = synthesize_blur(sharp, rng, spec)
        write_png(blur_path, blurry)
        write_png(sharp_path, sharp)
        key = f'{job.name}/{copy:06d}'
        records.append({'key': key, **asdict(record), 'seed': seeds.entropy})
    write_text(done, json.dumps(records))


def _read_record(path: Path) -> Optional[List[Dict[str, Any]]]:
    """Return the records of the pairs of a photo, or ``None`` if they are missing or damaged."""
    try:
        records = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    return records if isinstance(records, list) else None


def _write_records(jobs: Sequence[_Job], out: Path) -> Dict[str, int]:
    """Write the records of each split to a file; return the number of pairs of each split."""
    by_split: Dict[str, List[Dict[str, Any]]] = {'train': [], 'test': []}
    for job in jobs:
        done = job.folder / _DONE_NAME
        by_split[job.folder.parent.name] += _read_record(done) or []
    for split, records in by_split.items():
        if records:
            lines = [json.dumps(record) for record in records]
            write_text(out / split / RECORDS_NAME, '\n'.join(lines) + '\n')
    return {split: len(records) for split, records in by_split.items()}
