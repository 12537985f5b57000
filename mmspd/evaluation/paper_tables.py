"""The results in the paper's Tables 1 to 4 as data, and results of ours beside them.

Source: "Take a Prior from Other Tasks for Severe Blur Removal", arXiv 2302.06898.
"""

import csv
from pathlib import PurePath
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from mmspd.errors import UserError
from mmspd.evaluation.results import Result
from mmspd.utils.tables import text_table

__all__ = [
    'NOTES',
    'Measured',
    'PaperRow',
    'beside_paper',
    'measured_of',
    'paper_baseline',
    'paper_dataset',
    'paper_notes',
    'paper_row',
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

# One line per row, as comma-separated values; an empty cell is one that the paper does not fill.
_TABLES = {
    1: """
method,structure,psnr,ssim,lpips,time,recipe,baseline,notes
SRN,multi-scale,30.26,0.934,0.136,0.736,,,
PSS-NSC,multi-scale,30.92,0.942,0.122,0.316,,,
DMPHN,multi-patch,31.20,0.945,0.128,0.307,dmphn,,stacked
SAPHN,multi-patch,31.85,0.948,0.101,0.340,,,
Niu et al.,,31.25,0.945,,,,,
UNet,multi-scale,30.29,0.939,0.085,0.086,unet,,
UNet+SP,,31.06,0.946,0.075,0.170,unet_sp,UNet,
DeepDeblur,multi-scale,27.28,0.832,0.247,0.117,deepdeblur6,,simple ssim-2d
DeepDeblur+SP,,27.45,0.835,0.237,0.199,deepdeblur6_sp,DeepDeblur,simple ssim-2d
MPRNet,multi-patch,29.90,0.936,0.135,0.031,mprnet-s1,,simple
MPRNet+SP,,30.88,0.946,0.122,0.105,mprnet-s1_sp,MPRNet,simple
MIMO-UNet,multi-scale,30.91,0.946,0.119,0.019,mimounet,,short
MIMO-UNet+SP,,31.08,0.948,0.113,0.043,mimounet_sp,MIMO-UNet,short
MIMOUNetPlus,,32.45,0.957,0.092,0.309,mimounetplus,,ssim-mixed
MIMOUNetPlus+SP,,32.55,0.962,0.089,0.314,mimounetplus_sp,MIMOUNetPlus,ssim-mixed tuned
MSSNet,multi-stage,32.98,0.965,0.087,0.166,mssnet,,
MSSNet+SP,,33.22,0.967,0.084,0.335,mssnet_sp,MSSNet,
""",
    2: """
method,dataset,psnr,ssim,recipe,baseline,notes
SRN,hide,28.36,0.915,,,
DMPHN,hide,29.09,0.924,dmphn,,stacked
UNet,hide,27.92,0.915,unet,,
UNet+SP,hide,28.51,0.924,unet_sp,UNet,
MPRNet,hide,28.41,0.922,mprnet-s1,,simple
MPRNet+SP,hide,28.89,0.930,mprnet-s1_sp,MPRNet,simple
MIMOUNet+,hide,29.99,0.930,mimounetplus,,ssim-mixed
MIMOUNetPlus+SP,hide,30.05,0.945,mimounetplus_sp,MIMOUNet+,ssim-mixed tuned
SRN,realblur-j,31.38,0.909,,,realblur
DeblurGAN-v2,realblur-j,29.69,0.870,,,realblur
UNet,realblur-j,28.98,0.924,unet,,realblur
UNet+SP,realblur-j,29.53,0.932,unet_sp,UNet,realblur
MPRNet,realblur-j,29.41,0.933,mprnet-s1,,simple realblur
MPRNet+SP,realblur-j,29.54,0.935,mprnet-s1_sp,MPRNet,simple realblur
MIMOUNet+,realblur-j,29.44,0.932,mimounetplus,,realblur
MIMOUNetPlus+SP,realblur-j,29.67,0.934,mimounetplus_sp,MIMOUNet+,tuned realblur
""",
    3: """
method,dataset,psnr,baseline
HINet-REDS,reds,28.11,
HINet-REDS+HIN,reds,28.23,HINet-REDS
HINet-GoPro,gopro,30.98,
HINet-GoPro+HIN,gopro,31.40,HINet-GoPro
MPRNet,gopro,29.86,
MPRNet+SAM+CSFF,gopro,30.49,MPRNet
MIMOUNet,gopro,31.16,
MIMOUNet+MIMO+AFF+MSFR,gopro,31.73,MIMOUNet
Ours-UNet,gopro,30.29,
Ours-UNet+SP,gopro,31.06,Ours-UNet
Ours-MPRNet,gopro,29.90,
Ours-MPRNet+SP,gopro,30.88,Ours-MPRNet
Ours-MIMOUNet,gopro,30.91,
Ours-MIMOUNet+SP,gopro,31.08,Ours-MIMOUNet
Ours-MSSNet,gopro,32.98,
Ours-MSSNet+SP,gopro,33.22,Ours-MSSNet
""",
    4: """
method,psnr,lpips,recipe,baseline,notes
Net0,30.2886,0.0850,net0,,ten
Net0*,,,net0-star,Net0,unstable
Net1,30.6501,0.0812,net1,Net0,ten
Net2,30.7331,0.0790,net2,Net0,ten
Net3,30.7712,0.0785,net3,Net0,ten
Net4,30.9648,0.0776,net4,Net0,ten
Net5,30.8705,0.0771,net5,Net0,ten
Net6,31.0608,0.0745,net6,Net0,ten
""",
}

_DATASETS = {'gopro': 'GoPro', 'hide': 'HIDE', 'realblur-j': 'RealBlur-J', 'reds': 'REDS'}

#: Class, choices and number of images of the test sets that the paper reports on.
_TEST_SETS = {
    'gopro': dict(type='GoProDataset', split='test', blur_key='blur', images=1111),
    'hide': dict(type='HIDEDataset', split='test', images=2025),
    'realblur-j': dict(type='RealBlurDataset', split='test', subset='J', images=980),
}


def paper_table(number: int) -> List[PaperRow]:
    """Return the rows of a table in the paper's order, Table 2 by data set.

    Raises:
        UserError: The paper has no results in a table of this number.
    """
    if number not in _TABLES:
        raise UserError(f"the paper's tables of results are 1 to 4, not {number}")
    rows = []
    for cells in csv.DictReader(_TABLES[number].strip().splitlines()):
        values: Dict[str, Any] = {name: cell for name, cell in cells.items() if cell}
        for name in {'psnr', 'ssim', 'lpips', 'time'} & set(values):
            values[name] = float(values[name])
        values['notes'] = tuple(values.get('notes', '').split())
        rows.append(PaperRow(number, **values))
    return rows


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
    rows = (row for number in (1, 2, 4) for row in paper_table(number))
    return next((row for row in rows if (row.recipe, row.dataset) == (recipe, dataset)), None)


def paper_baseline(row: PaperRow) -> Optional[PaperRow]:
    """Find the row that a row adds the prior (in Table 3 also other modules) to."""
    wanted = (row.dataset, row.baseline)
    return next((r for r in paper_table(row.table) if (r.dataset, r.method) == wanted), None)


def paper_dataset(dataset: Mapping[str, Any]) -> Optional[str]:
    """Name the paper's test set that a result was measured on.

    Args:
        dataset: From the provenance of a result: ``type``, ``split``, ``images`` (their number)
            and, where the data set has it, ``blur_key`` or ``subset``.

    Returns:
        ``'gopro'``, ``'hide'`` or ``'realblur-j'`` if all images of that test set, and no others,
        were measured; else None.
    """
    found = {**dataset, 'type': str(dataset.get('type', '')).rpartition('.')[2]}
    for name, wanted in _TEST_SETS.items():
        if all(found.get(key) == value for key, value in wanted.items()):
            return name
    return None


def paper_value(row: PaperRow, metric: str) -> Optional[float]:
    """Return the number of the paper's that a metric of ours is to be compared with, if any.

    Args:
        row: The paper's row.
        metric: ``'PSNR'``, ``'SSIM-matlab'``, ``'LPIPS-alex-v0.1'``, ...
    """
    if metric in ('PSNR', 'PSNR-aligned'):
        return row.psnr
    if metric.startswith('LPIPS-'):
        return row.lpips
    return row.ssim if metric == _ssim_of(row) else None


def paper_notes(rows: Sequence[PaperRow]) -> List[str]:
    """Collect what to know before comparing with rows of the paper, each sentence once."""
    keys = [key for row in rows for key in row.notes]
    for name in ('ssim', 'lpips'):
        if any(getattr(row, name) is not None for row in rows):
            keys.append(name)
    return [NOTES[key] for key in dict.fromkeys(keys)]


class Measured(NamedTuple):
    """A result of ours.

    Attributes:
        label: What to call it.
        config: See :func:`paper_row`.
        dataset: As there.
        metrics: Means over the images by name.
    """

    label: str
    config: str
    dataset: str
    metrics: Mapping[str, float]


def measured_of(label: str, result: Result) -> Optional[Measured]:
    """Take from a result what is printed beside the paper.

    Returns:
        None where it was not measured on one of the paper's test sets, whole.
    """
    dataset = paper_dataset(result.provenance['dataset'])
    if dataset is None:
        return None
    return Measured(label, result.provenance['config']['recipe'], dataset, result.metrics)


def beside_paper(measured: Measured) -> Optional[str]:
    """Print a result beside what the paper reports for the same model and test set.

    Returns:
        A table and footnotes, or None: the paper has no such row or none of the metrics.
    """
    row = paper_row(measured.config, measured.dataset)
    if row is None:
        return None
    lines = []
    for name, value in measured.metrics.items():
        paper = paper_value(row, name)
        if None not in (paper, value):
            digits = 2 if name.startswith('PSNR') else 4
            cells = f'{value:.{digits}f}', f'{paper:.{digits}f}', f'{value - paper:+.{digits}f}'
            lines.append((name, *cells))
    if not lines:
        return None
    title = f"{row.method} on {_DATASETS[row.dataset]} in the paper's Table {row.table}"
    table = text_table((title, measured.label, 'paper', 'difference'), lines)
    return '\n'.join([table, '', *(f'* {note}' for note in paper_notes([row]))])


def table_with(number: int, results: Sequence[Measured]) -> str:
    """Print one of the paper's tables with results of ours in it, marked by ``>``.

    Args:
        number: 1 to 4.
        results: Each comes below the row of its recipe and data set, or below the last row of its
            data set, and is left out of a table without that data set.

    Returns:
        A table and footnotes.

    Raises:
        UserError: There is no table of this number.
    """
    paper = paper_table(number)
    below: Dict[int, List[PaperRow]] = {}
    for measured in results:
        same_data = [i for i, row in enumerate(paper) if row.dataset == measured.dataset]
        row = paper_row(measured.config, measured.dataset)
        if same_data:
            place = paper.index(row) if row in paper else same_data[-1]
            below.setdefault(place, []).append(_row_of(measured, paper[place]))
    lines = [_cells_of(r) for i, row in enumerate(paper) for r in (row, *below.get(i, ()))]
    filled = [name for name in lines[0] if any(_cells_of(row)[name] for row in paper)]
    table = text_table(filled, [[cells[name] or '-' for name in filled] for cells in lines])
    notes = paper_notes(paper) + ([NOTES['time']] if 'time (s)' in filled else [])
    return '\n'.join([table, '', *(f'* {note}' for note in notes)])


def _row_of(measured: Measured, beside: PaperRow) -> PaperRow:
    """Turn a result into a row for below one of the paper's, by the same SSIM."""
    metrics = measured.metrics
    return PaperRow(
        beside.table,
        f'> {measured.label}',
        measured.dataset,
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
    gain = row.psnr - baseline.psnr if baseline and row.psnr else None
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
