"""Which files to restore and where to, and which of them are done."""

import glob
import json
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from mmspd.apis.photo_io import PHOTO_SUFFIXES
from mmspd.apis.video import VIDEO_SUFFIXES
from mmspd.datasets.image_io import list_names
from mmspd.errors import UserError

__all__ = ['Job', 'RestoredRecord', 'find_jobs']

PathLike = Union[str, Path]


class Job(NamedTuple):
    """A photo or video, and the file to write; no ``target`` where the result is returned."""

    source: Path
    target: Optional[Path]


def find_jobs(
    inputs: Sequence[PathLike],
    out_dir: Optional[PathLike],
    suffix: str = '',
    recursive: bool = False,
) -> List[Job]:
    """Find the photos and videos that inputs name.

    Args:
        inputs: Files, folders and glob patterns (``**`` is any depth).
        out_dir: Where the results go: under their own names for files, and for what lies below a
            folder with that structure.
        suffix: Added to the names of the results, before ``.jpg`` and the like.
        recursive: Look in the folders of folders too. Hidden files are never taken, nor is what
            lies in ``out_dir``.

    Raises:
        UserError: An input does not exist or has nothing to restore, or a result would overwrite an
            input or another result.
    """
    if Path(suffix).name != suffix:
        raise UserError(f"'{suffix}' cannot end a file's name: give letters and the like")
    out = None if out_dir is None else Path(out_dir)
    jobs: Dict[Path, Job] = {}
    targets: Dict[Path, Path] = {}
    for source, name in _find_sources(inputs, out, recursive):
        identity = source.resolve()
        if identity in jobs:
            continue
        target = None
        if out is not None:
            target = out / name.with_name(name.stem + suffix + name.suffix)
            other = targets.setdefault(target, source)
            if other != source:
                raise UserError(
                    f"'{other}' and '{source}' would both become '{target}': run them "
                    'one after the other, with a folder for each'
                )
        jobs[identity] = Job(source, target)
    for job in jobs.values():
        if job.target is not None and job.target.resolve() in jobs:
            raise UserError(
                f"'{job.target}' is one of the inputs and would be overwritten: give "
                'another folder for the results'
            )
    return list(jobs.values())


def _find_sources(
    inputs: Sequence[PathLike], out: Optional[Path], recursive: bool
) -> Iterator[Tuple[Path, Path]]:
    """Yield the files, each with its name relative to the input."""
    for entry in inputs:
        path = Path(entry)
        if os.path.isdir(path):  # False where it may not be looked at
            if out is not None and out.resolve() == path.resolve():
                raise UserError(
                    f"'{path}' is the input and the folder for the results: give "
                    'another one for the results'
                )
            yield from ((file, file.relative_to(path)) for file in _walk(path, out, recursive))
        elif os.path.exists(path):
            yield path, Path(path.name)
        else:
            yield from ((file, Path(file.name)) for file in _expand(str(entry)))


def _walk(folder: Path, out: Optional[Path], recursive: bool) -> List[Path]:
    def refuse(error: OSError) -> None:
        raise UserError(f"cannot look into '{error.filename}': {error.strerror}") from error

    files = []
    deeper = 0
    for parent, folders, names in os.walk(folder, onerror=refuse):
        visible = [Path(parent, name) for name in sorted(folders) if not name.startswith('.')]
        below = [path for path in visible if out is None or path.resolve() != out.resolve()]
        deeper += len(below)
        folders[:] = [path.name for path in below] if recursive else []
        files += [Path(parent, name) for name in sorted(names) if not name.startswith('.')]
    media = [file for file in files if file.suffix.lower() in PHOTO_SUFFIXES + VIDEO_SUFFIXES]
    if not media:
        hint = ': look into its folders too (--recursive)' if deeper and not recursive else ''
        raise UserError(f"no photo or video is in '{folder}' (it holds {list_names(folder)}){hint}")
    return media


def _expand(pattern: str) -> List[Path]:
    paths = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    files = [path for path in paths if path.is_file()]
    if not files:
        what = 'matches no file' if glob.has_magic(pattern) else 'does not exist'
        raise UserError(f"'{pattern}' {what}: correct the path")
    return files


class RestoredRecord:
    """What has been restored into a folder, from what and how, in a file there.

    A line is appended for each result, so that a run that is broken off can go on.

    Args:
        folder: Of the results; it is made.
        settings: All that a result depends on beside its source; JSON.

    Raises:
        UserError: The folder cannot be written.
    """

    NAME = 'restored.jsonl'

    def __init__(self, folder: PathLike, settings: Dict[str, Any]) -> None:
        self.folder = Path(folder)
        self.settings = settings
        self._path = self.folder / self.NAME
        self._entries: Dict[str, Dict[str, Any]] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._path.open('a', encoding='utf-8'):
                pass
            lines = self._path.read_text(encoding='utf-8').splitlines()
        except OSError as error:
            raise UserError(f"cannot write to '{self.folder}': {error.strerror}") from error
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:  # blank, or cut off when a run was killed
                continue
            self._entries[entry['file']] = entry

    def is_done(self, job: Job) -> bool:
        """Tell whether a result is there, made of this very source with these settings.

        Raises:
            UserError: What is there was made otherwise, and would be lost.
        """
        if job.target is None or not job.target.exists():
            return False
        entry = self._entries.get(self._name(job.target))
        if entry is None or entry['settings'] != self.settings:
            how = 'by something else' if entry is None else 'with another model or settings'
            raise UserError(
                f"'{job.target}' exists and was made {how}: give another folder for "
                'the results, or let it be overwritten (--overwrite)'
            )
        return entry['source'] == _fingerprint(job.source)

    def add(self, job: Job) -> None:
        """Note that a job is done.

        Raises:
            UserError: The disk is full.
        """
        assert job.target is not None  # results that are returned are not recorded
        name = self._name(job.target)
        entry = dict(file=name, source=_fingerprint(job.source), settings=self.settings)
        try:
            with self._path.open('a', encoding='utf-8') as file:
                # the line break first: the line before may have been cut off
                file.write('\n' + json.dumps(entry))
        except OSError as error:
            raise UserError(f"cannot write '{self._path}': {error.strerror}") from error
        self._entries[name] = entry

    def _name(self, target: Path) -> str:
        return target.relative_to(self.folder).as_posix()


def _fingerprint(source: Path) -> List[int]:
    """Size and date of a file, which change with its content."""
    status = source.stat()
    return [status.st_size, status.st_mtime_ns]
