"""The results of the paper's Tables 1 to 4 as data, and comparisons with them.

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
    'DATASETS',
    'NOTES',
    'PaperRow',
    'beside_paper',
    'paper_baseline',
    'paper_cells',
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
    """A row of one of the paper's tables. Values that the paper does not print are None.

    Attributes:
        table: Number of the table, 1 to 4.
        method: Name as printed, without references and daggers.
        dataset: Test set: ``'gopro'``, ``'hide'``, ``'realblur-j'`` or ``'reds'``.
        structure: Structure of the network, such as ``'multi-scale'`` or ``'multi-patch'``.
        psnr: PSNR in dB.
        ssim: SSIM; see :data:`NOTES`.
        lpips: LPIPS. Lower is better.
        time: Time per GoPro image in seconds.
        recipe: Recipe in ``configs/spd``. For example, ``unet_sp`` is ``unet_sp_gopro.py``, or
            ``unet_sp_realblur-j.py`` if the data set is RealBlur-J. ``net3`` is
            ``ablation/net3.py``, ``mprnet-baseline`` is ``table3/mprnet-baseline_gopro.py``.
        baseline: Name of the method without the semantic prior, in the same table and on the same
            data set. In some rows of Table 3, the baseline lacks another module instead of the
            prior.
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


#: Notes on the comparison with the paper's numbers.
NOTES = {
    'ssim': 'The paper does not name its SSIM. The values that its authors measured are about '
    "0.004 above MATLAB's 3-D convention (SSIM-matlab). The values from other papers follow "
    'SSIM-matlab. Compare the gain of the prior, not the values.',
    'ssim-2d': 'The SSIM of DeepDeblur fits the 2-D convention (SSIM-2d), unlike the other rows.',
    'ssim-mixed': 'The SSIM of plain MIMO-UNet+ is from the MIMO-UNet paper, but the authors '
    'measured the SSIM with the prior. Most of the gain in SSIM comes from the different sources.',
    'lpips': 'The paper does not name the network of its LPIPS.',
    'time': 'The times were measured on an RTX 3090, some apparently without waiting for the GPU.',
    'simple': 'These networks are reduced: DeepDeblur to 6 residual blocks, MPRNet to its first '
    'stage.',
    'tuned': 'MIMO-UNet+ with the prior was fine-tuned from published weights.',
    'stacked': 'The DMPHN of the paper has four stacked networks, the recipe has one.',
    'short': 'The paper trained MIMO-UNet for fewer iterations than the authors of MIMO-UNet '
    '(31.73 dB).',
    'theirs': 'The rows of HINet, MPRNet and MIMO-UNet in Table 3 are ablations by the authors of '
    'these networks, often with shorter schedules than the recipes. Compare the gain of the '
    'modules, not the values.',
    'realblur': 'On RealBlur-J, the paper trained "much less" than usual. Other published tables '
    'measure aligned images. So do the rows of SRN and DeblurGAN-v2, which the paper quotes: '
    'compare them with your PSNR of aligned images. The paper does not say whether it aligns the '
    'images, but its own PSNR is close to the PSNR of unaligned images.',
    'ten': 'The numbers of Table 4 are means of ten evaluations.',
    'quoted': 'SAPHN and the method of Niu et al. have no public code, no weights and no readable '
    'details. Their rows quote the paper, and mmspd has no recipe for them.',
    'unstable': 'The paper calls the training of Net0* unstable and gives no numbers.',
}

#: Names of the test sets.
DATASETS = {'gopro': 'GoPro', 'hide': 'HIDE', 'realblur-j': 'RealBlur-J', 'reds': 'REDS'}

#: Class and options of the test sets of the paper.
_TEST_SETS = {
    'gopro': dict(type='GoProDataset', split='test', blur_key='blur'),
    'hide': dict(type='HIDEDataset', split='test'),
    'realblur-j': dict(type='RealBlurDataset', split='test', subset='J'),
}


def paper_table(number: int) -> List[PaperRow]:
    """Return the rows of a table in the order of the paper. Table 2 is sorted by data set.

    Args:
        number: Number of the table, 1 to 4.

    Returns:
        The rows.

    Raises:
        UserError: The paper has no table of results with this number.
    """
    rows = [row for row in _read_tables() if row.table == number]
    if not rows:
        raise UserError(f'The paper has no table {number} of results; use 1, 2, 3 or 4.')
    return rows


@cache
def _read_tables() -> Tuple[PaperRow, ...]:
    """Read all rows. The cells of values that the paper does not print are empty."""
    text = resources.files('mmspd.evaluation').joinpath('paper_tables.csv').read_text('utf-8')
    rows = []
    for cells in csv.DictReader(text.splitlines()):
        values: Dict[str, Any] = {name: cell for name, cell in cells.items() if cell}
        for name in {'psnr', 'ssim', 'lpips', 'time'} & set(values):
            values[name] = float(values[name])
        values.update(table=int(cells['table']), notes=tuple(cells['notes'].split()))
        rows.append(PaperRow(**values))
    return tuple(rows)


def paper_row(config: str, dataset: str, table: Optional[int] = None) -> Optional[PaperRow]:
    """Find the row of the paper for a recipe and a test set.

    Args:
        config: Name or path of a config in ``configs/spd`` (``unet_sp_gopro``), or its recipe
            (``unet_sp``).
        dataset: Test set as in :class:`PaperRow`; see :func:`paper_dataset`.
        table: Number of the table, or None for the first table with such a row.

    Returns:
        The row; None if there is no row, or if the paper trained on another data set than the
        config.

    Examples:
        >>> from mmspd.evaluation.paper_tables import paper_baseline, paper_row
        >>> row = paper_row('unet_sp_gopro', 'gopro')
        >>> row.method, row.psnr, paper_baseline(row).psnr
        ('UNet+SP', 31.06, 30.29)
    """
    recipe = PurePath(config).stem
    trained_on = 'realblur-j' if dataset == 'realblur-j' else 'gopro'
    recipe = recipe[: -len(trained_on) - 1] if recipe.endswith(f'_{trained_on}') else recipe
    recipe = recipe.replace('_sp-paper', '_sp')  # the model as described in the paper
    rows = _read_tables() if table is None else paper_table(table)
    return next((row for row in rows if (row.recipe, row.dataset) == (recipe, dataset)), None)


def paper_row_of(result: Result, table: Optional[int] = None) -> Optional[PaperRow]:
    """Find the row of the paper for the model and the test set of a result.

    Args:
        result: Result of a test run.
        table: Number of the table, or None for the first table with such a row.

    Returns:
        The row as in :func:`paper_row`, or None if there is no row.
    """
    dataset = paper_dataset(result.provenance['dataset'])
    if dataset is None:
        return None
    return paper_row(result.provenance['config']['recipe'], dataset, table)


def paper_seconds(recipe: str) -> Optional[Tuple[float, float]]:
    """Return the run times of a restorer in the paper.

    Args:
        recipe: Name of the plain recipe, such as ``'unet'``.

    Returns:
        Seconds per GoPro image without and with the prior, or None if Table 1 lacks one of them.
    """
    times = {row.recipe: row.time for row in paper_table(1)}
    plain, guided = times.get(recipe), times.get(f'{recipe}_sp')
    return None if plain is None or guided is None else (plain, guided)


def paper_baseline(row: PaperRow) -> Optional[PaperRow]:
    """Find the row of the baseline: the same method without the prior.

    In some rows of Table 3, the baseline lacks another module instead of the prior.

    Args:
        row: A row of the paper.

    Returns:
        The row of the baseline, or None if the row has no baseline.
    """
    key = (row.dataset, row.baseline)
    return next((r for r in paper_table(row.table) if (r.dataset, r.method) == key), None)


def paper_dataset(dataset: Mapping[str, Any]) -> Optional[str]:
    """Return the name of the paper's test set for a tested data set.

    Args:
        dataset: The ``dataset`` in the provenance of a result, with ``type``, ``split``,
            ``is_official_set`` and, depending on the data set, ``blur_key`` or ``subset``.

    Returns:
        ``'gopro'``, ``'hide'`` or ``'realblur-j'`` if exactly the images of this test set were
        measured, else None.
    """
    for name, choices in _TEST_SETS.items():
        if all(dataset.get(key) == value for key, value in choices.items()):
            return name if dataset.get('is_official_set') else None
    return None


def paper_value(row: PaperRow, metric: str) -> Optional[float]:
    """Return the value of the paper that corresponds to a metric.

    Args:
        row: A row of the paper.
        metric: Name of the metric, such as ``'PSNR'``, ``'SSIM-matlab'`` or ``'LPIPS-alex-v0.1'``.

    Returns:
        The value, or None if the row has no such value.
    """
    if metric in ('PSNR', 'PSNR-aligned'):
        return row.psnr
    if metric in ('LPIPS-alex-v0.1', 'LPIPS-vgg-v0.1'):
        return row.lpips
    return row.ssim if metric == _ssim_of(row) else None


def paper_notes(rows: Sequence[PaperRow]) -> List[str]:
    """Collect the notes on a comparison with rows of the paper.

    Args:
        rows: Rows of the paper.

    Returns:
        The notes, each once.
    """
    keys = [key for row in rows for key in row.notes]
    for name in ('ssim', 'lpips'):
        if any(getattr(row, name) is not None for row in rows):
            keys.append(name)
    return [NOTES[key] for key in dict.fromkeys(keys)]


def beside_paper(result: Result) -> Optional[str]:
    """Format a comparison of a result with the paper's row for the same model and test set.

    Args:
        result: Result of a test run.

    Returns:
        A table and footnotes. None if the paper has no such row, or the row has no metric of the
        result.
    """
    row = paper_row_of(result)
    if row is None:
        return None
    lines = []
    for name, value in result.metrics.items():
        info, paper = result.metric_info.get(name), paper_value(row, name)
        # another library's metric has no MetricInfo; its values may differ despite the name
        if info is not None and paper is not None and value is not None:
            texts = info.text(value), info.text(paper), info.text(value - paper, '+')
            lines.append((name, *texts))
    if not lines:
        return None
    title = f"{row.method} on {DATASETS[row.dataset]} in the paper's Table {row.table}"
    table = text_table((title, 'measured', 'paper', 'difference'), lines)
    return '\n'.join([table, '', *(f'* {note}' for note in paper_notes([row]))])


def table_with(number: int, results: Mapping[str, Result]) -> str:
    """Format one of the paper's tables and insert measured results, marked with ``>``.

    Args:
        number: Number of the table, 1 to 4.
        results: A dict from labels to results. Each result is placed below the row of its recipe
            and data set, or below the last row of its data set. Results that fit no
            row are named in footnotes.

    Returns:
        A table and footnotes.

    Raises:
        UserError: There is no table with this number.
    """
    paper = paper_table(number)
    below: Dict[int, List[PaperRow]] = {}
    unplaced = []
    for label, result in results.items():
        dataset = paper_dataset(result.provenance['dataset'])
        same_data = [i for i, row in enumerate(paper) if row.dataset == dataset]
        if same_data:
            row = paper_row_of(result, number)
            place = same_data[-1] if row is None else paper.index(row)
            below.setdefault(place, []).append(_measured_row(label, result, paper[place]))
        else:
            unplaced.append(label)
    lines = [paper_cells(r) for i, row in enumerate(paper) for r in (row, *below.get(i, ()))]
    filled = [name for name in lines[0] if any(paper_cells(row)[name] for row in paper)]
    table = text_table(filled, [[cells[name] or '-' for name in filled] for cells in lines])
    notes = paper_notes(paper) + ([NOTES['time']] if 'time (s)' in filled else [])
    if unplaced:
        notes.append(f'Not in this table (other or incomplete test sets): {", ".join(unplaced)}.')
    return '\n'.join([table, '', *(f'* {note}' for note in notes)])


def _measured_row(label: str, result: Result, beside: PaperRow) -> PaperRow:
    """Convert a result to a table row, with the SSIM convention of the paper's row ``beside``."""
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
    """Return the SSIM metric whose convention is closest to that of a row of the paper."""
    return 'SSIM-2d' if 'ssim-2d' in row.notes else 'SSIM-matlab'


def paper_cells(row: PaperRow) -> Dict[str, str]:
    """Format a row with the digits of its table.

    Args:
        row: A row of the paper.

    Returns:
        A dict from the titles of the columns to texts. Values that the paper does not print are
        empty.
    """
    fine = int(row.table == 4)

    def text(value: Optional[float], digits: int, sign: str = '') -> str:
        return '' if value is None else f'{value:{sign}.{digits}f}'

    baseline = paper_baseline(row)
    gain = None
    if row.psnr is not None and baseline is not None and baseline.psnr is not None:
        gain = row.psnr - baseline.psnr
    return {
        'method': row.method,
        'data set': DATASETS[row.dataset],
        'structure': row.structure or '',
        'PSNR': text(row.psnr, 2 + 2 * fine),
        'gain': text(gain, 2 + 2 * fine, '+'),
        'SSIM': text(row.ssim, 3),
        'LPIPS': text(row.lpips, 3 + fine),
        'time (s)': text(row.time, 3),
    }
