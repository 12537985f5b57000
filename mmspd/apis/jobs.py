"""Find the files to restore, and record the results that are finished."""

import glob
import json
import os
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from mmspd.apis.video import VIDEO_SUFFIXES
from mmspd.datasets.image_io import list_names
from mmspd.datasets.photo_io import PHOTO_SUFFIXES
from mmspd.errors import DiskFullError, UserError
from mmspd.utils.json_text import parse_json
from mmspd.utils.skipped import kind_of
from mmspd.utils.walk import FOLDER, SPECIAL, list_files, real_path

__all__ = [
    'ForeignResultError',
    'Job',
    'RestoredRecord',
    'Search',
    'find_jobs',
    'fingerprint',
    'search',
]

PathLike = Union[str, Path]

_MEDIA = frozenset(PHOTO_SUFFIXES + VIDEO_SUFFIXES)


class ForeignResultError(UserError):
    """Reports an existing result without a record of its settings."""


class Job(NamedTuple):
    """A photo or video to restore.

    Attributes:
        source: The photo or video.
        target: The file to write; ``None`` if the result is returned.
    """

    source: Path
    target: Optional[Path]


class Search(NamedTuple):
    """The photos and videos that :func:`search` found, and the other files.

    Attributes:
        jobs: A job per photo or video.
        ignored: A dict from each skipped file or folder to the reason; ``''`` for a file that is
            not a photo or video.
        failures: A dict to a message from each subfolder that cannot be listed, and from each input
            that does not exist or has no photo or video.
    """

    jobs: List[Job]
    ignored: Dict[Path, str]
    failures: Dict[Path, str]


def find_jobs(
    inputs: Sequence[PathLike],
    out_dir: Optional[PathLike],
    suffix: str = '',
    recursive: bool = False,
) -> List[Job]:
    """Return only the jobs of :func:`search`.

    Args:
        inputs: See :func:`search`.
        out_dir: See :func:`search`.
        suffix: See :func:`search`.
        recursive: See :func:`search`.

    Returns:
        A job per photo or video.

    Raises:
        UserError: See :func:`search`.

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
    return search(inputs, out_dir, suffix, recursive).jobs


def search(
    inputs: Sequence[PathLike],
    out_dir: Optional[PathLike],
    suffix: str = '',
    recursive: bool = False,
) -> Search:
    """Find the photos and videos to restore, and choose the files to write.

    Args:
        inputs: Files, folders and glob patterns; ``**`` matches any depth.
        out_dir: Folder for the results. The result of an input file has the name of this file. The
            results of an input folder keep their paths relative to this folder.
        suffix: Text to add to the names of the results, before the file extension.
        recursive: Search subfolders and linked folders too, each folder once. Hidden files and the
            files in ``out_dir`` are skipped.

    Returns:
        The jobs and the skipped files. An input that is named twice has one job.

    Raises:
        UserError: No photo or video was found, an input is the output folder, or a result would
            overwrite an input or another result.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from mmspd.apis.jobs import search
        >>> with TemporaryDirectory() as folder:
        ...     for name in ('a.png', 'b.CR2'):
        ...         Path(folder, name).touch()
        ...     found = search([folder], out_dir='sharp')
        >>> [job.source.name for job in found.jobs], list(found.ignored.values())
        (['a.png'], ['raw photo'])
    """
    if Path(suffix).name != suffix:
        raise UserError(
            f"The suffix '{suffix}' cannot be part of a file name; use a suffix without slashes."
        )
    out = None if out_dir is None else Path(out_dir)
    found = Search([], {}, {})
    known: Dict[Path, Path] = {}  # from the real path to the first source
    targets: Dict[Path, Path] = {}
    for source, name in _find_all_sources(inputs, out, recursive, found):
        identity = real_path(source)
        if identity in known:
            if known[identity] != source:
                found.ignored[source] = f"the same file as '{known[identity]}'"
            continue
        known[identity] = source
        target = None
        if out is not None:
            target = out / name.with_name(name.stem + suffix + name.suffix)
            other = targets.setdefault(target, source)
            if other != source:
                raise UserError(
                    f"'{other}' and '{source}' would both be written to '{target}'; restore them "
                    'in two runs with different output folders.'
                )
        found.jobs.append(Job(source, target))
    if not found.jobs and found.failures:
        raise UserError(next(iter(found.failures.values())))
    for job in found.jobs:
        if job.target is not None and real_path(job.target) in known:
            raise UserError(
                f"A result would overwrite the input '{job.target}'; choose another output folder."
            )
    return found


def _find_all_sources(
    inputs: Sequence[PathLike], out: Optional[Path], recursive: bool, found: Search
) -> Iterator[Tuple[Path, Path]]:
    """Yield each file with its path relative to the input folder, or with its name.

    The other files and the errors are added to ``found``.
    """
    for entry in inputs:
        path = Path(entry)
        if out is not None and os.path.isdir(path) and real_path(out) == real_path(path):
            raise UserError(
                f"'{path}' is an input and also the output folder; choose another output folder."
            )
        try:
            yield from _find_sources(path, out, recursive, found)
        except UserError as error:
            found.failures[path] = str(error)


def _find_sources(
    path: Path, out: Optional[Path], recursive: bool, found: Search
) -> List[Tuple[Path, Path]]:
    """Return the files of one input with their paths relative to it, or with their names."""
    if os.path.isdir(path):  # unlike Path.is_dir, this raises no PermissionError
        media = _find_media(path, out, recursive, found)
        return [(file, file.relative_to(path)) for file in media]
    if os.path.exists(path) and not os.path.isfile(path):
        raise UserError(f"'{path}' is a {SPECIAL}; give a photo, a video or a folder.")
    if os.path.lexists(path):  # also a link that leads nowhere, whose restoration fails
        return [(path, Path(path.name))]
    return [(file, Path(file.name)) for file in _expand(str(path), out, found)]


def _find_media(folder: Path, out: Optional[Path], recursive: bool, found: Search) -> List[Path]:
    """Return the photos and videos of a folder, and add the other files to ``found``."""
    listing = list_files(folder, recursive, leave_out=out)
    media = [path for path in listing.files if path.suffix.lower() in _MEDIA]
    found.failures.update(listing.failures)
    found.ignored.update(listing.skipped)
    others = (path for path in listing.files if path.suffix.lower() not in _MEDIA)
    found.ignored.update({path: kind_of(path) for path in others})
    if not media:
        if listing.failures:
            raise UserError(next(iter(listing.failures.values())))
        searchable = not recursive and FOLDER in listing.skipped.values()
        hint = 'search its subfolders with --recursive, or ' if searchable else ''
        raise UserError(
            f"'{folder}' has no photo or video (it has {list_names(folder)}); {hint}choose another "
            'folder.'
        )
    return media


def _expand(pattern: str, out: Optional[Path], found: Search) -> List[Path]:
    """Return the files that match a pattern, and add the other matches to ``found``."""
    if '**' in Path(pattern).parts:
        files = _expand_recursively(pattern, out, found)
    else:
        paths = [Path(name) for name in sorted(glob.glob(pattern))]
        files = [path for path in paths if path.is_file()]
        others = (path for path in paths if not path.is_file())
        found.ignored.update({path: FOLDER if path.is_dir() else SPECIAL for path in others})
    if not files:
        problem = 'matches no file' if glob.has_magic(pattern) else 'does not exist'
        raise UserError(f"'{pattern}' {problem}; check the path.")
    return files


def _expand_recursively(pattern: str, out: Optional[Path], found: Search) -> List[Path]:
    """Expand a pattern with ``**``. Python's glob would follow loops of links 40 times."""
    parts = Path(pattern).parts
    depth = parts.index('**')
    files = []
    for folder in map(Path, sorted(glob.glob(str(Path(*parts[:depth]))))):
        if folder.is_dir():
            listing = list_files(folder, leave_out=out)
            found.failures.update(listing.failures)
            for path in (*listing.files, *listing.skipped):
                if not _matches(path.relative_to(folder).parts, parts[depth:]):
                    continue
                if path in listing.skipped:
                    found.ignored[path] = listing.skipped[path]
                else:
                    files.append(path)
    return files


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a path match the parts of a pattern with ``**``."""
    if not pattern:
        return not parts
    if pattern[0] == '**':
        return any(_matches(parts[n:], pattern[1:]) for n in range(len(parts) + 1))
    return bool(parts) and fnmatch(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


class RestoredRecord:
    """Records the finished results of a folder in its file ``restored.jsonl``.

    Each line describes one result: its file, its source and the settings. Lines are appended as
    results are finished, so an interrupted run can continue.

    Args:
        folder: Folder of the results. It is created if it does not exist.
        settings: Everything that changes a result, except its source. The values must be JSON
            types.
        weights: The weights files of the model, for the record only, see
            :func:`~mmspd.weights.files.loaded_weights`.

    Raises:
        UserError: The folder cannot be written to.
    """

    NAME = 'restored.jsonl'

    def __init__(
        self, folder: PathLike, settings: Dict[str, Any], weights: Sequence[Dict[str, str]] = ()
    ) -> None:
        self.folder = Path(folder)
        self.settings = settings
        self.weights = list(weights)
        self._path = self.folder / self.NAME
        self._entries: Dict[str, Dict[str, Any]] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and not self._path.is_file():  # opening a pipe would wait
                raise UserError(f"'{self._path}' is not a file; choose another output folder.")
            with self._path.open('a', encoding='utf-8'):
                pass
            lines = self._path.read_bytes().splitlines()
        except OSError as error:
            raise UserError(
                f"Cannot write to '{self.folder}' ({error.strerror}); choose another output folder."
            ) from error
        for line in lines:
            entry = _parse(line)
            if entry is not None:
                self._entries[entry['file']] = entry

    def is_done(self, job: Job) -> bool:
        """Return whether the result of a job exists and was made from its current source.

        Args:
            job: The job.

        Returns:
            ``False`` if there is no result, if the source has changed since the restoration, or if
            the files cannot be examined.

        Raises:
            ForeignResultError: The result was made by another program, or its record is damaged.
            UserError: The result was made with other settings.
        """
        if job.target is None or not os.path.exists(job.target):
            return False
        entry = self._entries.get(self._name(job.target))
        if entry is None:
            raise ForeignResultError(
                f"'{job.target}' exists and was made by another program; choose another output "
                'folder, or replace the file with --overwrite.'
            )
        if entry['settings'] != self.settings:
            raise UserError(
                f"'{job.target}' exists and was made with another model or settings; choose "
                'another output folder, or replace the file with --overwrite.'
            )
        try:
            return entry['source'] == fingerprint(job.source)
        except OSError:  # the restoration reports the error
            return False

    def add(self, job: Job, source: Optional[List[int]] = None) -> None:
        """Record a finished job.

        Args:
            job: The job. It must have a target.
            source: The :func:`fingerprint` of the source before the restoration; by default, its
                present fingerprint.

        Raises:
            DiskFullError: The record cannot be written.
        """
        assert job.target is not None  # returned results are not recorded
        name = self._name(job.target)
        source = fingerprint(job.source) if source is None else source
        entry = dict(file=name, source=source, settings=self.settings, weights=self.weights)
        try:
            with self._path.open('a', encoding='utf-8') as file:
                # start with a line break, because the last line may be incomplete
                file.write('\n' + json.dumps(entry))
        except OSError as error:
            raise DiskFullError(
                f"Cannot write '{self._path}' ({error.strerror}); free some disk space or choose "
                'another output folder.'
            ) from error
        self._entries[name] = entry

    def _name(self, target: Path) -> str:
        return target.relative_to(self.folder).as_posix()


def _parse(line: bytes) -> Optional[Dict[str, Any]]:
    """Parse a line of the record; return ``None`` for an empty, incomplete or damaged line."""
    try:
        entry = parse_json(line)
    except ValueError:
        return None
    complete = isinstance(entry, dict) and {'file', 'source', 'settings'} <= entry.keys()
    return entry if complete and isinstance(entry['file'], str) else None


def fingerprint(source: Path) -> List[int]:
    """Return the size and the modification time of a file, to notice changes.

    Args:
        source: The file.

    Returns:
        The size in bytes and the time in nanoseconds.
    """
    status = source.stat()
    return [status.st_size, status.st_mtime_ns]
