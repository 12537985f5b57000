"""The lines of the doctor's report, and its exit code."""

from typing import Any, Callable, List, NamedTuple, Sequence

__all__ = ['Line', 'Section', 'exit_code', 'looked_at', 'render']


class Line(NamedTuple):
    """One line of the report.

    Attributes:
        state: ``'ok'``, ``'FAULT'`` for something that mmspd needs, or ``'-'`` for something that
            may be absent.
        name: The thing.
        found: Its version, place or condition.
        fix: The fix of a fault, or the way to get something that is absent.
    """

    state: str
    name: str
    found: str
    fix: str = ''


class Section(NamedTuple):
    """Lines with a title."""

    title: str
    lines: List[Line]


def render(sections: Sequence[Section]) -> str:
    """Write the report as text.

    Args:
        sections: The sections of the report.

    Returns:
        The page. Its last line is the verdict.
    """
    blocks = [f'{title}\n' + '\n'.join(map(_text, lines)) for title, lines in sections]
    faults = sum(line.state == 'FAULT' for section in sections for line in section.lines)
    verdict = 'mmspd is ready.'
    if faults:
        verdict = f'{faults} {"fault" if faults == 1 else "faults"}; apply the fixes above.'
    return '\n\n'.join([*blocks, f'Verdict: {verdict}'])


def _text(line: Line) -> str:
    fix = f'; {line.fix}' if line.fix else ''
    return f'  {line.state:5}  {line.name}: {line.found}{fix}'


def exit_code(sections: Sequence[Section]) -> int:
    """Return 1 if a section has a fault, and 0 otherwise."""
    return int(any(line.state == 'FAULT' for section in sections for line in section.lines))


def looked_at(name: str, fix: str, look: Callable[..., List[Line]], *arguments: Any) -> List[Line]:
    """Return the lines of a check, or one line if the check itself fails.

    Args:
        name: The thing that is checked.
        fix: The fix if the check fails.
        look: The check. In a broken installation, it may raise any error.
        *arguments: Arguments of the check.

    Returns:
        The lines.
    """
    try:
        return look(*arguments)
    except Exception as error:
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())
        return [Line('FAULT', name, reason, fix)]
