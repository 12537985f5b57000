"""The page of the earlier runs, of which only means and deviations over the seeds are left."""

import csv
from pathlib import Path
from typing import Dict, List, Tuple

from mmspd.utils.files import write_text
from mmspd.utils.tables import text_table
from prior_study.statistics import interval_of_moments

__all__ = ['write_earlier']

_TITLES = {
    'trajectory': 'UNet, trajectory blur, 3000 steps',
    'choices': 'UNet, trajectory blur, 3000 steps, one change to the distilled prior',
    'panning': 'UNet, panning blur, 1500 steps',
    'restorers': 'MIMO-UNet, trajectory blur, 900 steps',
}
_INTRODUCTION = """\
# Earlier runs

These runs were made on two cores of an AMD EPYC in bfloat16. Their results of single images are
lost; only the mean and the standard deviation over the seeds are left. Their teacher got the
sharp image, enlarged by 2. A gain is the difference in PSNR, in dB; the brackets hold its 95 %
interval over the seeds (Student's t). The intervals are not corrected for the number of rows. Rows
with a single seed are only hints."""

Row = Dict[str, str]


def write_earlier(source: Path, page: Path) -> None:
    """Write the page.

    Args:
        source: CSV file with the columns ``study``, ``network``, ``reference``, ``test set``,
            ``seeds``, ``gain`` and ``deviation`` (the standard deviation over the seeds).
        page: Markdown file to write.
    """
    with source.open(newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    parts = [_INTRODUCTION]
    for study, title in _TITLES.items():
        own = [row for row in rows if row['study'] == study]
        parts += [f'## {title}', *_tables(own)]
    write_text(page, '\n\n'.join(parts) + '\n')


def _tables(rows: List[Row]) -> List[str]:
    """Make one table per reference."""
    tables = []
    for reference in dict.fromkeys(row['reference'] for row in rows):
        own = [row for row in rows if row['reference'] == reference]
        tests = list(dict.fromkeys(row['test set'] for row in own))
        cells: Dict[Tuple[str, str], str] = {
            (row['network'], row['test set']): _cell(row) for row in own
        }
        networks = dict.fromkeys(row['network'] for row in own)
        lines = [[name, *(cells.get((name, test), '-') for test in tests)] for name in networks]
        tables.append(text_table([f'gain over {reference}', *tests], lines))
    return tables


def _cell(row: Row) -> str:
    """Format a gain with its interval over the seeds."""
    gain, seeds = float(row['gain']), int(row['seeds'])
    if seeds < 2:
        return f'{gain:+.2f} (one seed)'
    low, high = interval_of_moments(gain, float(row['deviation']), seeds)
    return f'{gain:+.2f} ({low:+.2f} to {high:+.2f})'
