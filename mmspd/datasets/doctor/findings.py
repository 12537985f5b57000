"""What is wrong with a data set, or worth knowing of it."""

from dataclasses import dataclass
from typing import Sequence, Tuple

__all__ = ['FAULT', 'NOTE', 'WARNING', 'Finding', 'pairs_finding', 'plural']

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


def plural(number: int, noun: str, one: str = '', many: str = '') -> str:
    """Return a number with its noun and verb: '1 image is gray', '2 images are gray'."""
    phrase = f'{number} {noun} {one}' if number == 1 else f'{number} {noun}s {many or one}'
    return phrase.rstrip()


def pairs_finding(
    check: str, part: str, verbs: Tuple[str, ...], cure: str, names: Sequence[str], judged: int
) -> Finding:
    """Report pairs that look wrong: a fault where they are many, otherwise a warning.

    Args:
        check: As of :class:`Finding`.
        part: As there.
        verbs: The rest of the sentence '1 pair ...', and of '2 pairs ...'.
        cure: As there.
        names: The pairs that look wrong.
        judged: Number of pairs that were looked at.
    """
    level = FAULT if len(names) >= _MANY * judged else WARNING
    text = f'{plural(len(names), "pair", *verbs)}, of {judged} judged'
    return Finding(level, check, part, text, cure, tuple(names))
