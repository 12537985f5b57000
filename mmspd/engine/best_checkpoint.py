"""Find the best checkpoint in the folder of a resumed run, and its score."""

import re
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Tuple, Union

from mmspd.engine.checkpoints import archive_fault, pattern_of
from mmspd.engine.load_check_hook import load_local
from mmspd.errors import UserError

__all__ = ['Best', 'best_in', 'choose_best']


class Best(NamedTuple):
    """A best checkpoint and its score."""

    path: Path
    score: float


def best_in(
    folder: Union[str, Path], filename_tmpl: str, metric: Optional[str] = None
) -> List[Path]:
    """List the best checkpoints of a folder, whatever they contain.

    Args:
        folder: The folder. It may be missing.
        filename_tmpl: Names of the checkpoints, where ``{}`` stands for the number.
        metric: The metric by which they are the best, or None for all metrics.

    Returns:
        The files.
    """
    name = '.+' if metric is None else re.escape(metric.replace('/', '_'))
    pattern = re.compile(f'best_{name}_{pattern_of(filename_tmpl)}')
    paths = sorted(Path(folder).iterdir()) if Path(folder).is_dir() else []
    return [path for path in paths if pattern.fullmatch(path.name)]


def choose_best(
    paths: List[Path],
    metric: str,
    known: Optional[Best],
    is_better: Callable[[float, float], bool],
    warn: Callable[[str], None],
) -> Tuple[Optional[Best], List[Path]]:
    """Choose the best of several checkpoints.

    A run that is killed after it saved a new best checkpoint leaves two of them, and its last
    checkpoint names the previous one.

    Args:
        paths: The best checkpoints in the folder of a run.
        metric: The metric by which they are the best.
        known: The best checkpoint according to the last checkpoint. Only the name of its file
            counts, because its folder may have been moved.
        is_better: Function that compares a score with another score.
        warn: Function that is called with a sentence for every file without a score.

    Returns:
        The best checkpoint, or None, and the worse checkpoints.
    """
    found = []
    for path in paths:
        is_known = known is not None and path.name == known.path.name
        score = known.score if known is not None and is_known else _score_in(path, metric)
        if score is None:
            warn(f'The best checkpoint {path} has no score, so it is ignored.')
        else:
            found.append(Best(path, score))
    best: Optional[Best] = None
    for candidate in found:
        if best is None or is_better(candidate.score, best.score):
            best = candidate
    return best, [candidate.path for candidate in found if candidate != best]


def _score_in(path: Path, metric: str) -> Optional[float]:
    """Return the score in a best checkpoint, or None."""
    if archive_fault(path) is not None:
        return None
    try:
        info = load_local(str(path), 'cpu')['message_hub']['runtime_info']
        # the first name is used if save_best has several metrics
        return info.get(f'best_score_{metric}', info.get('best_score'))
    except (UserError, KeyError, TypeError, AttributeError):
        return None
