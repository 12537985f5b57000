"""Format the results of the paper and of mmspd for ``configs/spd/README.md``."""

import os
import textwrap
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from mmspd.evaluation.contributions import TEST_SETS, TOLERANCE, Contributions
from mmspd.evaluation.paper_tables import (
    NOTES,
    PaperRow,
    paper_cells,
    paper_notes,
    paper_row_of,
    paper_table,
)
from mmspd.utils.tables import text_table
from mmspd.weights.catalog import CATALOG

__all__ = ['TITLES', 'paper_tables_markdown', 'published_table_markdown']

NOT_MEASURED = 'not measured yet'
OURS = 'PSNR, mmspd'

#: Titles of the paper's tables.
TITLES = {
    1: 'Table 1: GoPro',
    2: 'Table 2: HIDE and RealBlur-J',
    3: 'Table 3: gains of other modules and of the prior',
    4: 'Table 4: ablation of the UNet on GoPro',
}
_WIDTH = 100


def paper_tables_markdown(
    recipes: Sequence[str], contributions: Contributions, folder: Path
) -> str:
    """Format the paper's Tables 1 to 4 with all rows, and the values that were measured with mmspd.

    Args:
        recipes: Names of all recipes.
        contributions: Results of trained recipes, see
            :func:`~mmspd.evaluation.contributions.read_all`.
        folder: Folder of the page, for the links to the results.

    Returns:
        Markdown.
    """
    parts = []
    for number, title in TITLES.items():
        paper = paper_table(number)
        ours: Dict[PaperRow, List[str]] = {}
        for path, result in contributions.values():
            row = paper_row_of(result, number)
            if row is not None:
                digits = 4 if number == 4 else 2
                text = f'{result.metrics["PSNR"]:.{digits}f}'
                ours.setdefault(row, []).append(_link(text, path, folder))
        lines = []
        for row in paper:
            recipe = _recipe_of(row, recipes)
            unmeasured = '' if recipe is None else NOT_MEASURED
            missing = 'quoted' if 'quoted' in row.notes else ''
            cells = {**paper_cells(row), 'recipe': f'`{recipe}`' if recipe else missing}
            lines.append({**cells, OURS: ', '.join(ours.get(row, [unmeasured]))})
        filled = [name for name in lines[0] if any(line[name] for line in lines)]
        notes = paper_notes(paper) + ([NOTES['time']] if 'time (s)' in filled else [])
        rows = [[line[name] or '-' for name in filled] for line in lines]
        parts += [f'### {title}', text_table(filled, rows), *([_list(notes)] if notes else [])]
    return '\n\n'.join(parts) + '\n'


def published_table_markdown(contributions: Contributions, folder: Path) -> str:
    """Format the published PSNR of all weights, and the PSNR of these weights in mmspd.

    Args:
        contributions: Results of published weights, see
            :func:`~mmspd.evaluation.contributions.read_all`.
        folder: Folder of the page, for the links to the results.

    Returns:
        Markdown.
    """
    header = ['weights', 'recipe', 'test set', 'PSNR, published', 'official weights in mmspd']
    rows = []
    for weights in CATALOG:
        for score in weights.scores:
            measured = NOT_MEASURED if score.dataset in TEST_SETS else '-'
            if (weights.name, score.dataset) in contributions:
                path, result = contributions[weights.name, score.dataset]
                measured = _link(f'{result.metrics["PSNR"]:.2f}', path, folder)
            names = [f'`{weights.name}`', f'`{weights.recipe}`', score.dataset]
            rows.append([*names, f'{score.psnr:.2f}', measured])
    note = f'A linked value agrees with the published one within {TOLERANCE} dB.'
    return f'{text_table(header, rows)}\n\n{_list([note])}\n'


def _recipe_of(row: PaperRow, recipes: Sequence[str]) -> Optional[str]:
    """Return the name of the recipe of a row, with the training data in its name."""
    trained_on = 'realblur-j' if row.dataset == 'realblur-j' else 'gopro'
    names = [f'{row.recipe}_{trained_on}', str(row.recipe)]
    return next((name for name in names if name in recipes), None)


def _link(text: str, path: Path, folder: Path) -> str:
    return f'[{text}]({Path(os.path.relpath(path, folder)).as_posix()})'


def _list(notes: Sequence[str]) -> str:
    return '\n'.join(
        textwrap.fill(note, _WIDTH, initial_indent='- ', subsequent_indent='  ') for note in notes
    )
