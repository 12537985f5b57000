"""Find the files to restore, and record the results that are finished."""

import glob
import json
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from mmspd.apis.video import VIDEO_SUFFIXES
from mmspd.datasets.image_io import list_names
from mmspd.datasets.photo_io import PHOTO_SUFFIXES
from mmspd.errors import UserError

__all__ = ['Job', 'RestoredRecord', 'find_jobs']

PathLike = Union[str, Path]


class Job(NamedTuple):
    """A photo or video to restore.

    Attributes:
        source: The photo or video.
        target: The file to write; ``None`` if the result is returned.
    """

    source: Path
    target: Optional[Path]


def find_jobs(
    inputs: Sequence[PathLike],
    out_dir: Optional[PathLike],
    suffix: str = '',
    recursive: bool = False,
) -> List[Job]:
    """Find the photos and videos to restore, and choose the files to write.

    Args:
        inputs: Files, folders and glob patterns; ``**`` matches any depth.
        out_dir: Folder for the results. The result of an input file has the name of this file. The
            results of an input folder keep their paths relative to this folder.
        suffix: Text to add to the names of the results, before the file extension.
        recursive: Search subfolders too. Hidden files and the files in ``out_dir`` are skipped.

    Returns:
        A job per photo or video. An input that is named twice has one job.

    Raises:
        UserError: An input does not exist or has no photo or video, or a result would overwrite an
            input or another result.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from mmspd.apis.jobs import find_jobs
        >>> with TemporaryDirectory() as folder:
        ...     Path(folder, 'a.png').touch()
        ...     Path(folder, 'notes.txt').touch()
        ...     jobs = find_jobs([folder], out_dir='sharp', suffix='_sharp')
        >>> [job.target.as_posix() for job in jobs]
        ['sharp/a_sharp.png']
    """
    if Path(suffix).name != suffix:
        raise UserError(
            f"The suffix '{suffix}' cannot be part of a file name; use a suffix without slashes."
        )
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
                    f"'{other}' and '{source}' would both be written to '{target}'; restore them "
                    'in two runs with different output folders.'
                )
        jobs[identity] = Job(source, target)
    for job in jobs.values():
        if job.target is not None and job.target.resolve() in jobs:
            raise UserError(
                f"A result would overwrite the input '{job.target}'; choose another output folder."
            )
    return list(jobs.values())


def _find_sources(
    inputs: Sequence[PathLike], out: Optional[Path], recursive: bool
) -> Iterator[Tuple[Path, Path]]:
    """Yield each file with its path relative to the input folder, or with its name."""
    for entry in inputs:
        path = Path(entry)
        if os.path.isdir(path):  # unlike Path.is_dir, this raises no PermissionError
            if out is not None and out.resolve() == path.resolve():
                raise UserError(
                    f"'{path}' is an input and also the output folder; choose another output "
                    'folder.'
                )
            yield from ((file, file.relative_to(path)) for file in _walk(path, out, recursive))
        elif os.path.exists(path):
            yield path, Path(path.name)
        else:
            yield from ((file, Path(file.name)) for file in _expand(str(entry)))


def _walk(folder: Path, out: Optional[Path], recursive: bool) -> List[Path]:
    def refuse(error: OSError) -> None:
        raise UserError(
            f"Cannot list the folder '{error.filename}' ({error.strerror}); change its permissions "
            'or move it out of the input folder.'
        ) from error

    files = []
    subfolders = 0
    for parent, folders, names in os.walk(folder, onerror=refuse):
        visible = [Path(parent, name) for name in sorted(folders) if not name.startswith('.')]
        below = [path for path in visible if out is None or path.resolve() != out.resolve()]
        subfolders += len(below)
        folders[:] = [path.name for path in below] if recursive else []
        files += [Path(parent, name) for name in sorted(names) if not name.startswith('.')]
    media = [file for file in files if file.suffix.lower() in PHOTO_SUFFIXES + VIDEO_SUFFIXES]
    if not media:
        hint = 'search its subfolders with --recursive, or ' if subfolders and not recursive else ''
        raise UserError(
            f"'{folder}' has no photo or video (it has {list_names(folder)}); {hint}choose another "
            'folder.'
        )
    return media


def _expand(pattern: str) -> List[Path]:
    paths = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    files = [path for path in paths if path.is_file()]
    if not files:
        problem = 'matches no file' if glob.has_magic(pattern) else 'does not exist'
        raise UserError(f"'{pattern}' {problem}; check the path.")
    return files


class RestoredRecord:
    """Records the finished results of a folder in its file ``restored.jsonl``.

    Each line describes one result: its file, its source and the settings. Lines are appended as
    results are finished, so an interrupted run can continue.

    Args:
        folder: Folder of the results. It is created if it does not exist.
        settings: Everything that changes a result, except its source. The values must be JSON
            types.

    Raises:
        UserError: The folder cannot be written to.
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
            raise UserError(
                f"Cannot write to '{self.folder}' ({error.strerror}); choose another output folder."
            ) from error
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:  # the line is empty, or a killed run wrote only a part of it
                continue
            self._entries[entry['file']] = entry

    def is_done(self, job: Job) -> bool:
        """Return whether the result of a job exists and was made from its current source.

        Args:
            job: The job.

        Returns:
            ``False`` if there is no result, or if the source has changed since the restoration.

        Raises:
            UserError: The result was made with other settings or by another program.
        """
        if job.target is None or not job.target.exists():
            return False
        entry = self._entries.get(self._name(job.target))
        if entry is None or entry['settings'] != self.settings:
            how = 'by another program' if entry is None else 'with another model or settings'
            raise UserError(
                f"'{job.target}' exists and was made {how}; choose another output folder, or "
                'replace the file with --overwrite.'
            )
        return entry['source'] == _fingerprint(job.source)

    def add(self, job: Job) -> None:
        """Record a finished job.

        Args:
            job: The job. It must have a target.

        Raises:
            UserError: The record cannot be written, for example because the disk is full.
        """
        assert job.target is not None  # returned results are not recorded
        name = self._name(job.target)
        entry = dict(file=name, source=_fingerprint(job.source), settings=self.settings)
        try:
            with self._path.open('a', encoding='utf-8') as file:
                # start with a line break, because the last line may be incomplete
                file.write('\n' + json.dumps(entry))
        except OSError as error:
            raise UserError(
                f"Cannot write '{self._path}' ({error.strerror}); free some disk space or choose "
                'another output folder.'
            ) from error
        self._entries[name] = entry

    def _name(self, target: Path) -> str:
        return target.relative_to(self.folder).as_posix()


def _fingerprint(source: Path) -> List[int]:
    """Return the size and the modification time of a file, to notice changes."""
    status = source.stat()
    return [status.st_size, status.st_mtime_ns]
