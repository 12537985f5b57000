"""Unpack archives without trust in their contents."""

import gzip
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Iterator, NamedTuple, Optional, Sequence

from mmspd.errors import UserError

__all__ = ['check_empty', 'unpack']

_PARTIAL = '.unpacking'  # hidden, so that no data set reads it
_MOST_ENTRIES = 10**6
_LONGEST_NAME = 255  # bytes that file systems allow for a file
_LONGEST_PATH = 1024  # bytes of a path in an archive
#: Images do not compress, so an archive of images is about as large as its content.
_LARGEST_RATIO = 4
_SMALL = 2**30  # bytes that any archive may have
_DEEPEST = 3  # folders around the data in an archive
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # an unknown compression
)


class _Entry(NamedTuple):
    """A file of an archive, or a folder, whose ``file`` is ``None``."""

    name: str
    size: int
    file: Optional[IO[bytes]]


def unpack(archive: Path, folder: Path, contains: Sequence[str]) -> int:
    """Unpack a zip or tar archive into a new folder.

    The data appear in the folder only when they are complete. Names that lead out of the folder,
    links, special files and contents that are much larger than the archive are refused. Folders
    around the data are removed.

    Args:
        archive: The archive.
        folder: The new folder. It must not exist, or be empty.
        contains: Names of entries that the new folder must have.

    Returns:
        Number of unpacked files.

    Raises:
        UserError: The folder has files, or the archive is damaged, is not safe, or has other
            contents.

    Examples:
        >>> import tempfile, zipfile
        >>> from pathlib import Path
        >>> from mmspd.utils.unpack import unpack
        >>> with tempfile.TemporaryDirectory() as root:
        ...     with zipfile.ZipFile(Path(root, 'a.zip'), 'w') as file:
        ...         file.writestr('Data/train/1.png', b'...')
        ...     count = unpack(Path(root, 'a.zip'), Path(root, 'data'), ['train'])
        ...     count, Path(root, 'data', 'train', '1.png').is_file()
        (1, True)
    """
    check_empty(folder)
    partial = folder / _PARTIAL
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    partial.mkdir(parents=True)
    try:
        count = _write_all(archive, partial)
        for path in _find(partial, contains, archive).iterdir():
            path.rename(folder / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return count


def check_empty(folder: Path) -> None:
    """Check that a folder is empty or does not exist.

    Args:
        folder: The folder.

    Raises:
        UserError: The folder has files.
    """
    if folder.is_dir() and any(path.name != _PARTIAL for path in folder.iterdir()):
        raise UserError(f"'{folder}' is not empty; give another folder, or remove this one.")


def _write_all(archive: Path, folder: Path) -> int:
    """Write the files of an archive and return their number."""
    largest = max(_LARGEST_RATIO * archive.stat().st_size, _SMALL)
    files = size = 0
    try:
        for number, entry in enumerate(_entries(archive)):
            files, size = files + (entry.file is not None), size + entry.size
            if size > largest or number >= _MOST_ENTRIES:
                raise UserError(
                    f"'{archive}' has much more content than its size allows; do not use it."
                )
            _write(entry, _safe_path(entry.name, folder, archive), archive)
    except _DAMAGED as error:
        reason = f'{type(error).__name__}: {error}'.removesuffix(': ')
        raise UserError(f"'{archive}' is damaged ({reason}); download it again.") from error
    return files


def _entries(archive: Path) -> Iterator[_Entry]:
    """Yield the folders and regular files of an archive."""
    if zipfile.is_zipfile(archive):
        yield from _zip_entries(archive)
    elif tarfile.is_tarfile(archive):
        yield from _tar_entries(archive)
    else:
        raise UserError(f"'{archive}' is not a zip or tar archive; download it again.")


def _zip_entries(archive: Path) -> Iterator[_Entry]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir():
                yield _Entry(info.filename, 0, None)
            elif kind not in (0, stat.S_IFREG):
                raise _unsafe(archive, info.filename, 'is a link or a special file')
            elif info.flag_bits & 1:
                raise _unsafe(archive, info.filename, 'is encrypted')
            else:
                with file.open(info) as content:
                    yield _Entry(info.filename, info.file_size, content)


def _tar_entries(archive: Path) -> Iterator[_Entry]:
    # not as a stream ('r|*'), which takes an archive that is cut off for a complete one
    with tarfile.open(archive) as file:
        for info in file:
            if info.isdir():
                yield _Entry(info.name, 0, None)
            elif not info.isreg():
                raise _unsafe(archive, info.name, 'is a link or a special file')
            else:
                yield _Entry(info.name, info.size, file.extractfile(info))
        while file.fileobj is not None and file.fileobj.read(2**20):
            pass  # the checksum is at the end


def _safe_path(name: str, folder: Path, archive: Path) -> Path:
    """Return the place of an entry in a folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or '..' in path.parts or any(bad in name for bad in '\\:\0'):
        raise _unsafe(archive, name, 'leads out of the folder')
    if path.parts[:1] == (_PARTIAL,):
        raise _unsafe(archive, name, f'is in {_PARTIAL}, a folder of mmspd')
    lengths = [len(part.encode('utf-8', 'surrogateescape')) for part in (name, *path.parts)]
    if lengths[0] > _LONGEST_PATH or max(lengths[1:], default=0) > _LONGEST_NAME:
        raise _unsafe(archive, f'{name[:60]}...', 'has a name that is too long')
    return folder / path


def _write(entry: _Entry, path: Path, archive: Path) -> None:
    try:
        if entry.file is None:
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open('xb') as out:
            shutil.copyfileobj(entry.file, out, 2**20)
    except (FileExistsError, NotADirectoryError) as error:
        raise _unsafe(archive, entry.name, 'is contained twice') from error


def _find(folder: Path, contains: Sequence[str], archive: Path) -> Path:
    """Return the folder that has the expected entries, below the folders around the data."""
    levels = [folder]
    for _ in range(_DEEPEST):
        for level in levels:
            if all((level / name).exists() for name in contains):
                return level
        levels = [path for level in levels for path in level.iterdir() if path.is_dir()]
    found = ', '.join(sorted(path.name for path in folder.iterdir())[:5]) or 'nothing'
    raise UserError(
        f"'{archive}' has {found}, but {', '.join(contains)} are expected; check that it is the "
        'right archive.'
    )


def _unsafe(archive: Path, name: str, fault: str) -> UserError:
    return UserError(f"'{archive}': the entry {name!r} {fault}; do not use this archive.")
