"""Find the files below a folder, without opening a file."""

import os
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple, Union

from mmspd.errors import UserError

__all__ = ['Listing', 'is_below', 'list_files', 'list_folder', 'real_path']

#: Reasons in :attr:`Listing.skipped`.
FOLDER, SPECIAL = 'folder', 'pipe, socket or device'


class Listing(NamedTuple):
    """The files below a folder.

    Attributes:
        files: The regular files, and the links that lead nowhere, sorted by folder and name.
        skipped: A dict from each other entry to the reason why it is skipped. Hidden entries are
            not listed.
        failures: A dict from each subfolder that cannot be listed to a message.
    """

    files: List[Path]
    skipped: Dict[Path, str]
    failures: Dict[Path, str]


def list_files(folder: Path, recursive: bool = True, leave_out: Optional[Path] = None) -> Listing:
    """List the files below a folder. Links to files and folders are followed.

    A folder is entered only once, even if links lead to it, so a link to a parent folder ends the
    search there. Real folders come before links. Hidden files and folders are skipped, because
    macOS writes hidden files such as ``._name.png`` next to ``name.png``. Pipes, sockets and
    devices are never returned, because a program that opens them may wait forever. A link that
    leads nowhere is returned: an attempt to open it fails with the reason.

    Args:
        folder: An existing folder.
        recursive: Whether to enter subfolders.
        leave_out: Folder that is not entered, neither by its name nor by a link.

    Returns:
        The files, the skipped entries and the subfolders that cannot be listed.

    Raises:
        UserError: ``folder`` itself cannot be listed.

    Examples:
        >>> import os
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from mmspd.utils.walk import list_files
        >>> with TemporaryDirectory() as name:
        ...     folder = Path(name)
        ...     (folder / 'album').mkdir()
        ...     (folder / 'album' / 'a.png').touch()
        ...     (folder / 'loop').symlink_to(folder)
        ...     listing = list_files(folder)
        >>> [file.name for file in listing.files], [path.name for path in listing.skipped]
        (['a.png'], ['loop'])
    """
    listing = Listing([], {}, {})
    if leave_out is not None and is_below(folder, leave_out):
        leave_out = None
    entered: Dict[Tuple[int, int], Path] = {}
    real: List[Path] = [folder]
    linked: List[Path] = []
    while real or linked:
        parent = real.pop() if real else linked.pop(0)
        first = entered.setdefault(_identity(parent), parent)
        if first != parent:
            listing.skipped[parent] = f"the same folder as '{first}'"
            continue
        try:
            entries = list_folder(parent)
        except UserError as error:
            if parent == folder:
                raise
            listing.failures[parent] = str(error)
            continue
        for entry in entries:
            path, kind = Path(entry.path), _kind(entry)
            may_lead_away = kind == FOLDER or entry.is_symlink()
            if leave_out is not None and may_lead_away and is_below(path, leave_out):
                continue
            if kind == FOLDER and recursive:
                (linked if entry.is_symlink() else real).append(path)
            elif kind:
                listing.skipped[path] = kind
            else:
                listing.files.append(path)
    listing.files.sort(key=lambda path: (path.parent.parts, path.name))
    return listing


def list_folder(folder: Path) -> List['os.DirEntry[str]']:
    """List the visible entries of a folder, sorted by name.

    Args:
        folder: An existing folder.

    Returns:
        The entries.

    Raises:
        UserError: The folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith('.')]
    except OSError as error:
        raise UserError(
            f"Cannot list the folder '{folder}' ({error.strerror}); change its permissions or move "
            'it out of the input folder.'
        ) from error
    return sorted(visible, key=lambda entry: entry.name)


def real_path(path: Union[str, Path]) -> Path:
    """Follow the links of a path. Unlike ``Path.resolve``, this accepts a link to itself."""
    return Path(os.path.realpath(path))


def is_below(path: Path, folder: Path) -> bool:
    """Return whether a path is a folder or is inside of it, after links are followed."""
    real, target = real_path(path), real_path(folder)
    return target == real or target in real.parents


def _identity(folder: Path) -> Tuple[int, int]:
    """Return the numbers of the device and the folder, which are equal for all of its names."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _kind(entry: 'os.DirEntry[str]') -> str:
    """Return :data:`FOLDER`, :data:`SPECIAL`, or an empty string for a file."""
    try:
        if entry.is_dir():
            return FOLDER
        if not entry.is_file():
            entry.stat()  # fails for a link that leads nowhere
            return SPECIAL
    except OSError:
        pass  # the reader of the file reports the error
    return ''
