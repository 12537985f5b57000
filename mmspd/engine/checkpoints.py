"""Find the checkpoints of a run by their names, and check that they are whole."""

import numbers
import re
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Union

from mmspd.engine.load_check_hook import load_local
from mmspd.errors import UserError

__all__ = [
    'Checkpoint',
    'archive_fault',
    'find_resumable',
    'numbered_in',
    'pattern_of',
    'structure_fault',
]

#: More iterations than any run has. The schedule of a resumed run may be computed step by step.
_MOST_ITERATIONS = 10**7
_PARTS = ('meta', 'state_dict', 'message_hub', 'optimizer')
#: Flag of an entry of a zip file.
_FOLDER = 0x10

Fault = Optional[str]


class Checkpoint(NamedTuple):
    """A checkpoint file and the number in its name."""

    number: int
    path: Path


def pattern_of(filename_tmpl: str) -> str:
    """Return a regular expression for the names of checkpoints.

    Args:
        filename_tmpl: The names, where ``{}`` stands for the number.

    Returns:
        The expression. Its group is the number.
    """
    start, _, end = re.split(r'(\{[^}]*\})', filename_tmpl, maxsplit=1)
    return rf'{re.escape(start)}(\d+){re.escape(end)}'


def numbered_in(folder: Union[str, Path], filename_tmpl: str) -> List[Checkpoint]:
    """List the checkpoints of a folder, whatever they contain.

    Args:
        folder: The folder. It may be missing.
        filename_tmpl: Names of the checkpoints, where ``{}`` stands for the number.

    Returns:
        The checkpoints in the order of their numbers.
    """
    folder = Path(folder)
    pattern = re.compile(pattern_of(filename_tmpl))
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [(pattern.fullmatch(path.name), path) for path in paths]
    return sorted(Checkpoint(int(match[1]), path) for match, path in found if match)


def find_resumable(
    folder: Union[str, Path],
    filename_tmpl: str = 'epoch_{}.pth',
    warn: Optional[Callable[[str], Any]] = None,
    check: Optional[Callable[[Dict[str, Any]], Fault]] = None,
) -> Optional[str]:
    """Find the checkpoint with the highest number that a run can continue from.

    Every candidate is read completely, without running code of the file. A checkpoint is
    skipped if its archive is damaged or if a part is missing, such as the optimizer state.

    Args:
        folder: The checkpoint folder of a run. It may be missing.
        filename_tmpl: Names of the checkpoints, where ``{}`` stands for the number. Best
            checkpoints are ignored, because they contain no optimizer state.
        warn: Function that is called with a sentence for every checkpoint that is skipped, and if
            the times of the files contradict their numbers.
        check: Function that returns a fault of the content of a checkpoint, or None.

    Returns:
        The path, or None if there is no checkpoint.

    Raises:
        UserError: There are checkpoints, but the run can continue from none.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> from mmspd.engine.checkpoints import find_resumable
        >>> with TemporaryDirectory() as folder:
        ...     print(find_resumable(folder))
        None
    """
    warn = warn or (lambda sentence: None)
    found = numbered_in(folder, filename_tmpl)
    faults = []
    for number, path in reversed(found):
        fault = _fault_of(path, check)
        if fault is None:
            _compare_times(path, [entry for entry in found if entry.number < number], warn)
            return str(path)
        faults.append(f'{path.name}: {fault}')
        warn(f'The checkpoint {path} cannot be read ({fault}), so the previous one is tried.')
    if faults:
        raise UserError(
            f'None of the {len(faults)} checkpoints in {folder} can be resumed ({faults[0]}); '
            'delete them or choose another --work-dir to start a new run.'
        )
    return None


def _compare_times(path: Path, lower: List[Checkpoint], warn: Callable[[str], Any]) -> None:
    """Report checkpoints with lower numbers that were written later."""
    moment = path.stat().st_mtime_ns
    later = [entry.path.name for entry in lower if entry.path.lstat().st_mtime_ns > moment]
    if later:
        warn(
            f'{later[-1]} was written after {path.name}, but the run continues from {path.name}, '
            'because its number is higher.'
        )


def _fault_of(path: Path, check: Optional[Callable[[Dict[str, Any]], Fault]]) -> Fault:
    """Return the reason why a run cannot continue from a file, or None."""
    fault = archive_fault(path)
    if fault is not None:
        return fault
    try:
        checkpoint = load_local(str(path), 'cpu')
    except UserError:
        return 'it is damaged, or not a checkpoint'
    return structure_fault(checkpoint) or (check(checkpoint) if check else None)


def archive_fault(path: Union[str, Path]) -> Fault:
    """Check that a file is a complete archive of PyTorch with correct checksums.

    Other programs may read the file with PyTorch, which does not compare the checksums.

    Args:
        path: The file.

    Returns:
        The fault, or None.
    """
    path = Path(path)
    if path.is_dir():
        return 'it is a folder'
    if not path.is_file():
        return 'it is a link to a missing file' if path.is_symlink() else 'it is not a file'
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
            parts = archive.infolist()
    except Exception as error:  # zipfile raises many types of errors for damaged headers
        return f'its archive is damaged: {str(error) or type(error).__name__}'
    if broken is not None:
        return f'its part {broken!r} is damaged'
    if not any(part.filename.endswith('/data.pkl') for part in parts):
        return 'it is not a PyTorch file'
    if any(part.external_attr & _FOLDER for part in parts):
        return 'its archive is damaged: a part is marked as a folder'  # PyTorch reads no bytes then
    return None


def structure_fault(checkpoint: Any) -> Fault:
    """Check that a checkpoint has the parts from which a run continues.

    Args:
        checkpoint: The content of the file.

    Returns:
        The fault, or None.
    """
    if not isinstance(checkpoint, dict):
        return 'it is not a checkpoint'
    for part in _PARTS:
        if not isinstance(checkpoint.get(part), dict) or not checkpoint[part]:
            return f'it has no {part}'
    epoch, iteration = (checkpoint['meta'].get(key) for key in ('epoch', 'iter'))
    for key, count in (('epoch', epoch), ('iter', iteration)):
        if not isinstance(count, int):
            return f'it has no meta.{key}'
    if not 0 <= epoch <= iteration <= _MOST_ITERATIONS:
        return 'its counts meta.epoch and meta.iter are not possible'
    for key in ('log_scalars', 'runtime_info', 'resumed_keys'):
        if not isinstance(checkpoint['message_hub'].get(key), dict):
            return f'it has no message_hub.{key}'
    for key, value in checkpoint['message_hub']['runtime_info'].items():
        kind = _kind_of_best(str(key))
        if kind is not None and value is not None and not isinstance(value, kind):
            return f'its {key} is not valid'
    optimizer = checkpoint['optimizer']
    for state in [optimizer] if 'state' in optimizer else optimizer.values():
        if not isinstance(state, dict) or not {'state', 'param_groups'} <= state.keys():
            return 'it has no state of the optimizer'
    return None


def _kind_of_best(key: str) -> Any:
    """Return the type that a value of the best checkpoint must have, or None for other keys."""
    if key.startswith('best_score'):
        return numbers.Real
    return str if key.startswith('best_ckpt') else None
