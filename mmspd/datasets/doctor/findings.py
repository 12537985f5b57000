"""What is wrong with a data set, or worth knowing of it."""

from dataclasses import dataclass
from typing import Sequence, Tuple

__all__ = ['FAULT', 'NOTE', 'WARNING', 'Finding', 'level_by_share', 'plural']

FAULT, WARNING, NOTE = 'fault', 'warning', 'note'

_SHOWN_NAMES = 3
#: From this share of the pairs on, what may be a peculiarity of a few is a fault of the data set.
_MANY = 0.1


@dataclass(frozen=True)
class Finding:
    """One thing found in a part of a data set.

    Args:
        level: ``'fault'``, training or testing stops or its result is worthless; ``'warning'``,
            someone should look; ``'note'``, good to know.
        check: Name of the check, for programs.
        part: Part of the data set, as the report calls it.
        text: What is found, with its number.
        cure: What to do; ``''`` where nothing is to be done.
        names: All files or pairs that it concerns.
    """

    level: str
    check: str
    part: str
    text: str
    cure: str = ''
    names: Tuple[str, ...] = ()

    def line(self) -> str:
        """Return the finding in one line, with the first names."""
        shown = ', '.join(self.names[:_SHOWN_NAMES])
        shown += ', ...' if len(self.names) > _SHOWN_NAMES else ''
        names = f' ({shown})' if shown else ''
        return f'{self.level:7}  {self.part}: {self.text}{names}' + (self.cure and f': {self.cure}')


def level_by_share(found: Sequence[object], total: int) -> str:
    """Return how bad it is that some of all pairs look wrong."""
    return FAULT if len(found) >= _MANY * total else WARNING


def plural(number: int, noun: str, one: str = '', many: str = '') -> str:
    """Return a number with its noun and verb: '1 image is gray', '2 images are gray'."""
    phrase = f'{number} {noun} {one}' if number == 1 else f'{number} {noun}s {many or one}'
    return phrase.rstrip()
