"""Tables as text, for the terminal and for Markdown alike."""

from typing import Sequence

__all__ = ['text_table']


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table: the first column flush left, the others flush right.

    Args:
        header: Names of the columns.
        rows: As many cells each.

    Returns:
        Lines without a line break at the end, each of one width; Markdown shows them as a table.
    """
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    rule = [':' + '-' * (widths[0] - 1), *('-' * (width - 1) + ':' for width in widths[1:])]
    lines = []
    for row in [header, rule, *rows]:
        cells = [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)
