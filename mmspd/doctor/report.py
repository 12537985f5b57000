"""The lines of the doctor's report."""

import shlex
from typing import Any, Callable, List, NamedTuple, Sequence, Tuple

__all__ = ['Line', 'Pip', 'Section', 'faults', 'looked_at', 'render']

#: Calls of pip, each with its arguments.
Pip = Tuple[Tuple[str, ...], ...]


class Line(NamedTuple):
    """One line of the report.

    Attributes:
        state: ``'ok'``, ``'FAULT'`` for something that mmspd needs, or ``'-'`` for something that
            may be absent.
        name: The thing.
        found: Its version, place or condition.
        fix: The fix of a fault, or the way to get something that is absent.
        pip: The calls of pip that fix a fault.
        advice: A sentence for the verdict.
    """

    state: str
    name: str
    found: str
    fix: str = ''
    pip: Pip = ()
    advice: str = ''


class Section(NamedTuple):
    """Lines with a title."""

    title: str
    lines: List[Line]


def render(sections: Sequence[Section]) -> str:
    """Write the report as text.

    Args:
        sections: The sections of the report.

    Returns:
        The page. Its last line is the verdict, with the advice of the lines.
    """
    blocks = [f'{title}\n' + '\n'.join(map(_text, lines)) for title, lines in sections]
    wrong = faults(sections)
    verdict = 'mmspd is ready.'
    if wrong:
        count = f'{len(wrong)} {"fault" if len(wrong) == 1 else "faults"}'
        verdict = f'{count}; apply the fixes above.'
    if any(line.pip for line in wrong):
        verdict += ' "mmspd doctor --fix" runs the calls of pip.'
    advice = [line.advice for section in sections for line in section.lines if line.advice]
    return '\n\n'.join([*blocks, ' '.join([f'Verdict: {verdict}', *advice])])


def _text(line: Line) -> str:
    calls = ', then '.join(shlex.join(['pip', *call]) for call in line.pip)
    fixes = [line.fix] if line.fix else []
    if calls:
        fixes.append(f'run {calls}')
    return f'  {line.state:5}  {line.name}: ' + '; '.join([line.found, *fixes])


def faults(sections: Sequence[Section]) -> List[Line]:
    """Return the lines of a report that are faults."""
    return [line for section in sections for line in section.lines if line.state == 'FAULT']


def looked_at(
    name: str,
    fix: str,
    look: Callable[..., List[Line]],
    *arguments: Any,
    pip: Pip = (),
    state: str = 'FAULT',
) -> List[Line]:
    """Return the lines of a check, or one line if the check itself fails.

    Args:
        name: The thing that is checked.
        fix: The fix if the check fails.
        look: The check. In a broken installation, it may raise any error.
        *arguments: Arguments of the check.
        pip: Calls of pip that fix the fault.
        state: State of the line if the check fails: ``'-'`` for something that may be absent.

    Returns:
        The lines.
    """
    try:
        return look(*arguments)
    except Exception as error:
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())
        return [Line(state, name, reason, fix, pip)]
