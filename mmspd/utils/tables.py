"""Format tables as text that is readable in the terminal and valid Markdown."""

from typing import Sequence

__all__ = ['text_table']


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table as Markdown. The first column is left-aligned, the others right-aligned.

    Args:
        header: Names of the columns.
        rows: Rows with one cell per column.

    Returns:
        Lines of equal width, without a line break at the end.

    Examples:
        >>> from mmspd.utils.tables import text_table
        >>> print(text_table(['restorer', 'PSNR'], [['UNet', '30.25'], ['NAFNet', '33.1']]))
        | restorer |  PSNR |
        | :------- | ----: |
        | UNet     | 30.25 |
        | NAFNet   |  33.1 |
    """
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    rule = [':' + '-' * (widths[0] - 1), *('-' * (width - 1) + ':' for width in widths[1:])]
    lines = []
    for row in [header, rule, *rows]:
        cells = [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)
