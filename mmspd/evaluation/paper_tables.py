"""The results in the paper's Tables 1 to 4 as data, and results of ours beside them.

Source: "Take a Prior from Other Tasks for Severe Blur Removal", arXiv 2302.06898.
"""

import csv
from functools import cache
from importlib import resources
from pathlib import PurePath
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from mmspd.errors import UserError
from mmspd.evaluation.results import Result
from mmspd.utils.tables import text_table

__all__ = [
    'NOTES',
    'PaperRow',
    'beside_paper',
    'paper_baseline',
    'paper_dataset',
    'paper_notes',
    'paper_row',
    'paper_row_of',
    'paper_seconds',
    'paper_table',
    'paper_value',
    'table_with',
]


class PaperRow(NamedTuple):
    """A row of one of the paper's tables; what it does not print is None.

    Attributes:
        table: 1 to 4.
        method: As printed, without references and daggers.
        dataset: ``'gopro'``, ``'hide'``, ``'realblur-j'`` or ``'reds'``: what was tested on.
        structure: ``'multi-scale'``, ``'multi-patch'``, ...
        psnr: In dB.
        ssim: See :data:`NOTES`.
        lpips: Lower is better.
        time: Seconds per image of GoPro.
        recipe: Ours in ``configs/spd``: ``unet_sp`` is ``unet_sp_gopro.py``, and on RealBlur-J
            ``unet_sp_realblur-j.py``; ``net3`` is ``ablation/net3.py``.
        baseline: The method of the same table and data set that this one adds the semantic prior
            to; in Table 3 other modules too.
        notes: Keys of :data:`NOTES`.
    """

    table: int
    method: str
    dataset: str = 'gopro'
    structure: Optional[str] = None
    psnr: Optional[float] = None
    ssim: Optional[float] = None
    lpips: Optional[float] = None
    time: Optional[float] = None
    recipe: Optional[str] = None
    baseline: Optional[str] = None
    notes: Tuple[str, ...] = ()


#: What to know before comparing with the paper's numbers.
NOTES = {
    'ssim': "The paper does not name its SSIM. Its own rows are about 0.004 above MATLAB's 3-D "
    'convention (SSIM-matlab), those it took from other papers follow it: compare the gain of the '
    'prior, not the values.',
    'ssim-2d': 'The SSIM of DeepDeblur fits the 2-D convention (SSIM-2d), unlike its neighbors.',
    'ssim-mixed': "The SSIM of plain MIMO-UNet+ is taken from that network's paper, that with the "
    "prior is the authors' own measure: its gain in SSIM is mostly this change.",
    'lpips': 'The paper does not say which network its LPIPS uses.',
    'time': 'The times were measured on an RTX 3090, some apparently without waiting for it.',
    'simple': 'A reduced network: DeepDeblur with 6 residual blocks, the first stage of MPRNet.',
    'tuned': 'MIMO-UNet+ with the prior was fine-tuned from published weights.',
    'stacked': 'The DMPHN of the paper is the variant of four stacked networks, the recipe is one.',
    'short': 'The paper trained MIMO-UNet for fewer iterations than its authors (31.73 dB).',
    'realblur': 'On RealBlur-J the paper trained "much less" than usual. It does not say whether '
    'it aligned the images as published tables do; its PSNR is about that of unaligned ones.',
    'ten': 'The numbers of Table 4 are means of ten evaluations.',
    'unstable': 'The paper calls the training of Net0* unstable and gives no numbers.',
}

_DATASETS = {'gopro': 'GoPro', 'hide': 'HIDE', 'realblur-j': 'RealBlur-J', 'reds': 'REDS'}

#: Class and choices of the test sets that the paper reports on.
_TEST_SETS = {
    'gopro': dict(type='GoProDataset', split='test', blur_key='blur'),
    'hide': dict(type='HIDEDataset', split='test'),
    'realblur-j': dict(type='RealBlurDataset', split='test', subset='J'),
}


def paper_table(number: int) -> List[PaperRow]:
    """Return the rows of a table in the paper's order, Table 2 by data set.

    Raises:
        UserError: The paper has no results in a table of this number.
    """
    rows = [row for row in _read_tables() if row.table == number]
    if not rows:
        raise UserError(f"the paper's tables of results are 1 to 4, not {number}")
    return rows


@cache
def _read_tables() -> Tuple[PaperRow, ...]:
    """Read all rows; an empty cell is one that the paper does not fill."""
    text = resources.files('mmspd.evaluation').joinpath('paper_tables.csv').read_text('utf-8')
    rows = []
    for cells in csv.DictReader(text.splitlines()):
        values: Dict[str, Any] = {name: cell for name, cell in cells.items() if cell}
        for name in {'psnr', 'ssim', 'lpips', 'time'} & set(values):
            values[name] = float(values[name])
        values.update(table=int(cells['table']), notes=tuple(cells['notes'].split()))
        rows.append(PaperRow(**values))
    return tuple(rows)


def paper_row(config: str, dataset: str) -> Optional[PaperRow]:
    """Find what the paper reports for one of its models.

    Args:
        config: A config of ``configs/spd`` by name or path (``unet_sp_gopro``), or the recipe
            alone (``unet_sp``).
        dataset: As in :class:`PaperRow`; see :func:`paper_dataset`.

    Returns:
        The row of Table 1, 2 or 4. None where there is none, also when the config trains on
        another data set than the paper did for this test.
    """
    recipe = PurePath(config).stem
    trained_on = 'realblur-j' if dataset == 'realblur-j' else 'gopro'
    recipe = recipe[: -len(trained_on) - 1] if recipe.endswith(f'_{trained_on}') else recipe
    recipe = recipe.replace('_sp-paper', '_sp')  # the paper's form of the same model
    key = (recipe, dataset)
    return next((row for row in _read_tables() if (row.recipe, row.dataset) == key), None)


def paper_row_of(result: Result) -> Optional[PaperRow]:
    """Find what the paper reports for the model and the test set of a result; see above."""
    dataset = paper_dataset(result.provenance['dataset'])
    if dataset is None:
        return None
    return paper_row(result.provenance['config']['recipe'], dataset)


def paper_seconds(recipe: str) -> Optional[Tuple[float, float]]:
    """Return the paper's run times of a restorer, in seconds for an image of GoPro.

    Args:
        recipe: Name of the plain recipe, such as ``'unet'``.

    Returns:
        Without and with the prior; None where Table 1 lacks one of them.
    """
    times = {row.recipe: row.time for row in paper_table(1)}
    plain, guided = times.get(recipe), times.get(f'{recipe}_sp')
    return None if plain is None or guided is None else (plain, guided)


def paper_baseline(row: PaperRow) -> Optional[PaperRow]:
    """Find the row that a row adds the prior (in Table 3 also other modules) to."""
    key = (row.dataset, row.baseline)
    return next((r for r in paper_table(row.table) if (r.dataset, r.method) == key), None)


def paper_dataset(dataset: Mapping[str, Any]) -> Optional[str]:
    """Name the paper's test set that a result was measured on.

    Args:
        dataset: From the provenance of a result: ``type``, ``split``, ``is_official_set`` and,
            where the data set has it, ``blur_key`` or ``subset``.

    Returns:
        ``'gopro'``, ``'hide'`` or ``'realblur-j'`` if all images of that test set, and no others,
        were measured; else None.
    """
    for name, choices in _TEST_SETS.items():
        if all(dataset.get(key) == value for key, value in choices.items()):
            return name if dataset.get('is_official_set') else None
    return None


def paper_value(row: PaperRow, metric: str) -> Optional[float]:
    """Return the number of the paper's that a metric of ours is to be compared with, if any.

    Args:
        row: The paper's row.
        metric: ``'PSNR'``, ``'SSIM-matlab'``, ``'LPIPS-alex-v0.1'``, ...
    """
    if metric in ('PSNR', 'PSNR-aligned'):
        return row.psnr
    if metric in ('LPIPS-alex-v0.1', 'LPIPS-vgg-v0.1'):
        return row.lpips
    return row.ssim if metric == _ssim_of(row) else None


def paper_notes(rows: Sequence[PaperRow]) -> List[str]:
    """Collect what to know before comparing with rows of the paper, each sentence once."""
    keys = [key for row in rows for key in row.notes]
    for name in ('ssim', 'lpips'):
        if any(getattr(row, name) is not None for row in rows):
            keys.append(name)
    return [NOTES[key] for key in dict.fromkeys(keys)]


def beside_paper(result: Result) -> Optional[str]:
    """Print a result beside what the paper reports for the same model and test set.

    Returns:
        A table and footnotes, or None: the paper has no such row or none of the metrics.
    """
    row = paper_row_of(result)
    if row is None:
        return None
    lines = []
    for name, value in result.metrics.items():
        info, paper = result.metric_info.get(name), paper_value(row, name)
        # another library's metric of the same name has no info, and need not measure the same
        if info is not None and paper is not None and value is not None:
            texts = info.text(value), info.text(paper), info.text(value - paper, '+')
            lines.append((name, *texts))
    if not lines:
        return None
    title = f"{row.method} on {_DATASETS[row.dataset]} in the paper's Table {row.table}"
    table = text_table((title, 'measured', 'paper', 'difference'), lines)
    return '\n'.join([table, '', *(f'* {note}' for note in paper_notes([row]))])


def table_with(number: int, results: Mapping[str, Result]) -> str:
    """Print one of the paper's tables with results of ours in it, marked by ``>``.

    Args:
        number: 1 to 4.
        results: By label. Each comes below the row of its recipe and data set, or below the last
            row of its data set; the footnotes name those that the table has no place for.

    Returns:
        A table and footnotes.

    Raises:
        UserError: There is no table of this number.
    """
    paper = paper_table(number)
    below: Dict[int, List[PaperRow]] = {}
    unplaced = []
    for label, result in results.items():
        dataset = paper_dataset(result.provenance['dataset'])
        same_data = [i for i, row in enumerate(paper) if row.dataset == dataset]
        if same_data:
            row = paper_row_of(result)
            place = paper.index(row) if row in paper else same_data[-1]
            below.setdefault(place, []).append(_measured_row(label, result, paper[place]))
        else:
            unplaced.append(label)
    lines = [_cells_of(r) for i, row in enumerate(paper) for r in (row, *below.get(i, ()))]
    filled = [name for name in lines[0] if any(_cells_of(row)[name] for row in paper)]
    table = text_table(filled, [[cells[name] or '-' for name in filled] for cells in lines])
    notes = paper_notes(paper) + ([NOTES['time']] if 'time (s)' in filled else [])
    if unplaced:
        notes.append(f'Not on a whole test set of this table: {", ".join(unplaced)}.')
    return '\n'.join([table, '', *(f'* {note}' for note in notes)])


def _measured_row(label: str, result: Result, beside: PaperRow) -> PaperRow:
    """Turn a result into a row for below one of the paper's, by the same SSIM."""
    metrics = result.metrics
    return PaperRow(
        beside.table,
        f'> {label}',
        beside.dataset,
        psnr=metrics.get('PSNR'),
        ssim=metrics.get(_ssim_of(beside)),
        lpips=metrics.get('LPIPS-alex-v0.1'),
    )


def _ssim_of(row: PaperRow) -> str:
    """Name the convention that the SSIM of a row is nearest to."""
    return 'SSIM-2d' if 'ssim-2d' in row.notes else 'SSIM-matlab'


def _cells_of(row: PaperRow) -> Dict[str, str]:
    """Write the numbers of a row with the digits of its table."""
    fine = int(row.table == 4)

    def text(value: Optional[float], digits: int, sign: str = '') -> str:
        return '' if value is None else f'{value:{sign}.{digits}f}'

    baseline = paper_baseline(row)
    gain = None
    if row.psnr is not None and baseline is not None and baseline.psnr is not None:
        gain = row.psnr - baseline.psnr
    return {
        'method': row.method,
        'data set': _DATASETS[row.dataset],
        'structure': row.structure or '',
        'PSNR': text(row.psnr, 2 + 2 * fine),
        'gain': text(gain, 2 + 2 * fine, '+'),
        'SSIM': text(row.ssim, 3),
        'LPIPS': text(row.lpips, 3 + fine),
        'time (s)': text(row.time, 3),
    }
