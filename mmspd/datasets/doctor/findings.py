"""Findings: faults, warnings and notes about a data set."""

from dataclasses import dataclass
from typing import Sequence, Tuple

from mmspd.datasets.paired import LIST_NAME
from mmspd.utils.skipped import one_line

__all__ = ['FAULT', 'LEAVE_OUT', 'NOTE', 'WARNING', 'Finding', 'pairs_finding', 'plural']

FAULT, WARNING, NOTE = 'fault', 'warning', 'note'
#: Fix that excludes pairs without a change of the data.
LEAVE_OUT = f'list only the other pairs in a file {LIST_NAME}'

_SHOWN_NAMES = 3
#: If at least this share of the pairs has a problem, the finding is a fault, otherwise a warning.
_MANY = 0.1


@dataclass(frozen=True)
class Finding:
    """A finding in a part of a data set.

    Args:
        level: ``'fault'``: training or testing fails or its result is wrong. ``'warning'``: look
            at the data. ``'note'``: no action is needed.
        check: Name of the check, for programs.
        part: Part of the data set.
        text: The problem, with the number of files or pairs.
        cure: The fix; ``''`` if no action is needed.
        names: All files or pairs with the problem.

    Examples:
        >>> from mmspd.datasets.doctor import Finding
        >>> print(Finding('fault', 'gray', 'train', '1 image is gray', 'convert it').line())
        fault    train: 1 image is gray; convert it.
    """

    level: str
    check: str
    part: str
    text: str
    cure: str = ''
    names: Tuple[str, ...] = ()

    def line(self) -> str:
        """Return the finding as one line with the first three names."""
        shown = ', '.join(self.names[:_SHOWN_NAMES])
        shown += ', ...' if len(self.names) > _SHOWN_NAMES else ''
        names = f' ({shown})' if shown else ''
        line = f'{self.level:7}  {self.part}: {self.text}{names}' + (self.cure and f'; {self.cure}')
        return one_line(line if line.endswith('.') else f'{line}.')


def plural(number: int, noun: str, one: str = '', many: str = '') -> str:
    """Format a number with a noun and a verb: '1 image is gray', '2 images are gray'.

    Args:
        number: The number.
        noun: The noun in the singular; the plural adds an s.
        one: The rest of the phrase for 1.
        many: The rest of the phrase for other numbers; ``''`` to use ``one``.

    Returns:
        The phrase.

    Examples:
        >>> from mmspd.datasets.doctor.findings import plural
        >>> plural(2, 'image', 'is gray', 'are gray')
        '2 images are gray'
    """
    phrase = f'{number} {noun} {one}' if number == 1 else f'{number} {noun}s {many or one}'
    return phrase.rstrip()


def pairs_finding(
    check: str, part: str, verbs: Tuple[str, ...], cure: str, names: Sequence[str], judged: int
) -> Finding:
    """Return the finding about pairs with a problem.

    The finding is a fault if at least 10 % of the pairs have the problem, else a warning.

    Args:
        check: Name of the check.
        part: Part of the data set.
        verbs: Two endings of the sentence 'N of 9 compared pairs ...': for N = 1, and for N > 1.
        cure: The fix.
        names: Keys of the pairs with the problem.
        judged: Number of compared pairs.

    Returns:
        The finding.
    """
    level = FAULT if len(names) >= _MANY * judged else WARNING
    text = f'{len(names)} of {plural(judged, "compared pair")} {verbs[len(names) > 1]}'
    return Finding(level, check, part, text, cure, tuple(names))
