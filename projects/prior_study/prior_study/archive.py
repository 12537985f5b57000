"""The archive of a study: the results of all finished runs in small files for version control."""

import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

import numpy as np

from mmspd.errors import UserError
from mmspd.evaluation.comparison import check_images
from mmspd.utils.files import write_text
from prior_study.record import DONE, RECORD_NAME, read_record

__all__ = ['Images', 'Run', 'add_runs', 'has_run', 'load_images', 'load_runs']

_IMAGES_NAME = 'images.json'
_DIGITS = 4  # digits of a metric after the point


@dataclass(frozen=True)
class Images:
    """The images of a test set.

    Args:
        key: Key of each image.
        psnr: PSNR of each blurry image in dB.
        extent: Measured extent of the blur of each image as a share of ``sqrt(H * W)``; None if it
            cannot be measured.
    """

    key: List[str]
    psnr: List[float]
    extent: List[Optional[float]]


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        variant: Name of the variant.
        seed: Seed.
        about: Description of the variant.
        config: Hash of the config.
        machine: Processor and versions.
        parameters: Number of parameters.
        macs: Multiply-accumulates at 256x256.
        steps: Training steps; 0 if nothing was trained.
        minutes: Training time if all epochs were as fast as the fastest epoch. Other processes slow
            down most epochs, but hardly all of them.
        prior_loss: Weighted prior loss of the first and the last epoch; empty without a teacher.
        curve: Points ``[step, PSNR]`` of the learning curve.
        batches: Hashes of the first batches.
        psnr: A dict from each test set to the PSNR of its images, in the order of :class:`Images`.
        ssim: A dict from each test set to the SSIM of its images.
    """

    variant: str
    seed: int
    about: str
    config: str
    machine: Dict[str, Any]
    parameters: int
    macs: int
    steps: int
    minutes: float
    prior_loss: List[float]
    curve: List[List[float]]
    batches: List[str]
    psnr: Dict[str, List[float]]
    ssim: Dict[str, List[float]]

    @classmethod
    def of(cls, record: Dict[str, Any]) -> 'Run':
        """Make a run from the record of a finished run."""
        epochs, tests = record.get('epochs', []), record['tests'].items()
        seconds = [epoch['seconds'] for epoch in epochs]
        has_teacher = epochs and 'loss_prior' in epochs[0]
        return cls(
            **{name: record[name] for name in ('variant', 'seed', 'about', 'config', 'machine')},
            **{name: record[name] for name in ('parameters', 'macs')},
            steps=epochs[-1]['step'] if epochs else 0,
            minutes=round(len(epochs) * min(seconds) / 60, 2) if seconds else 0.0,
            prior_loss=[epochs[i]['loss_prior'] for i in (0, -1)] if has_teacher else [],
            curve=[[p['step'], round(p['PSNR'], _DIGITS)] for p in record.get('curve', [])],
            batches=record.get('batches', []),
            psnr={name: _column(test, 'PSNR') for name, test in tests},
            ssim={name: _column(test, 'SSIM-2d') for name, test in tests},
        )


def _column(test: Dict[str, Any], metric: str) -> List[float]:
    return [round(image[metric], _DIGITS) for image in test['images']]


def _images_of(test: Dict[str, Any]) -> Images:
    extents = []
    for image in test['images']:
        extent = image.get('blur-extent')
        share = None if extent is None else extent / np.sqrt(np.prod(image['size']))
        extents.append(None if share is None else round(float(share), _DIGITS))
    return Images([image['key'] for image in test['images']], _column(test, 'PSNR-input'), extents)


def add_runs(results: Path, archive: Path, variants: Sequence[str]) -> int:
    """Copy the results of finished runs of a study into its archive.

    Args:
        results: Folder of the study's results, made by ``run.py``.
        archive: Folder of the archive. It is created if needed. Its other runs are kept.
        variants: Variants to copy. Several studies may share ``results``.

    Returns:
        Number of copied runs.

    Raises:
        UserError: A run was tested on other images than the runs of the archive.
    """
    images = load_images(archive)
    paths = [path for name in variants for path in results.glob(f'{name}/seed*/{RECORD_NAME}')]
    records = [read_record(path.parent) for path in sorted(paths)]
    records = [record for record in records if record['status'] == DONE]
    for record in records:
        run = Run.of(record)
        for name, test in record['tests'].items():
            tested = _images_of(test)
            _check_same(
                f'{run.variant} seed {run.seed}', name, images.setdefault(name, tested), tested
            )
        path = archive / f'{run.variant}_seed{run.seed}.json'
        write_text(path, json.dumps(asdict(run)) + '\n')
    text = json.dumps({name: asdict(test) for name, test in images.items()})
    write_text(archive / _IMAGES_NAME, text + '\n')
    return len(records)


def _check_same(run: str, test: str, expected: Images, found: Images) -> None:
    """Check that a run was tested on the images of the archive."""
    rows = [
        [{'key': key, 'PSNR-input': psnr} for key, psnr in zip(images.key, images.psnr)]
        for images in (expected, found)
    ]
    try:
        check_images(*rows)
        if expected.key != found.key:
            raise UserError('The images have another order; test both in the same order.')
    except UserError as error:
        raise UserError(f'Cannot compare {run} with the other runs on {test}: {error}') from error


def has_run(archive: Path, variant: str, seed: int, config: str) -> bool:
    """Return whether an archive has a run that was made with a config.

    Args:
        archive: Folder of the archive.
        variant: Name of the variant.
        seed: The seed.
        config: Hash of the config.
    """
    run = load_runs(archive, [variant]).get(variant, {}).get(seed)
    return run is not None and run.config == config


def load_images(archive: Path) -> Dict[str, Images]:
    """Read the test sets of an archive.

    Args:
        archive: Folder of the archive.

    Returns:
        A dict from each test set to its images; empty for a new archive.
    """
    path = archive / _IMAGES_NAME
    with _damage_named(path):
        read = json.loads(path.read_text('utf-8')) if path.is_file() else {}
        return {name: Images(**columns) for name, columns in read.items()}


def load_runs(archive: Path, variants: Sequence[str]) -> Dict[str, Dict[int, Run]]:
    """Read the runs of an archive.

    Args:
        archive: Folder of the archive.
        variants: Variants in the order of the result.

    Returns:
        A dict from each variant with runs to a dict from each seed to its run.
    """
    runs: Dict[str, Dict[int, Run]] = {}
    for variant in variants:
        paths = archive.glob(f'{variant}_seed[0-9]*.json')
        found = [_load_run(path) for path in sorted(paths)]
        if found:
            runs[variant] = {run.seed: run for run in sorted(found, key=lambda run: run.seed)}
    return runs


def _load_run(path: Path) -> Run:
    with _damage_named(path):
        return Run(**json.loads(path.read_text('utf-8')))


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Name the file of an archive if it is damaged."""
    try:
        yield
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"'{path}' is damaged; delete it and run report.py with --results again."
        ) from error
