"""The report of a study: tables and plots from its archive."""

import io
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from cycler import cycler
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmspd.errors import UserError
from mmspd.utils.files import write_bytes, write_text
from mmspd.utils.tables import text_table
from prior_study.archive import Images, Run, load_images, load_runs
from prior_study.gains import Gain, by_extent, gain_of, share_of
from prior_study.plan import Study
from prior_study.statistics import holm

__all__ = ['Results', 'front_table', 'write_report']

_INTRODUCTION = """\
A gain is the difference in PSNR, in dB, for the same seed and image. The brackets hold its 95 %
interval over the seeds (Student's t), which holds for these photos. Detail tables also have the
95 % interval for new seeds and new photos. The p-values of the claims are over the seeds, corrected
together by Holm's method; all other rows are estimates without a correction."""
_COSTS = """\
A value is the mean over the seeds. `GMAC` are multiply-accumulates at 256x256 pixels, in billions.
`minutes` is the training time of a run on one core, at the speed of its fastest epoch. `prior loss`
is the weighted prior loss of the first and of the last epoch."""

Runs = Dict[str, Dict[int, Run]]


class Comparison(NamedTuple):
    """A row of a table.

    Attributes:
        variant: Name of the variant.
        over: Name of the reference.
    """

    variant: str
    over: str


class Results:
    """The results of a study.

    Args:
        study: The study.
        archive: Folder of its archive, see :mod:`prior_study.archive`.

    Attributes:
        runs: A dict from each variant with runs to a dict from each seed to its run.
        images: A dict from each test set to its images.
        primary: Test set for claims. The other test sets have too few photos, or were used for
            choosing.

    Raises:
        UserError: The archive has no run of the study.
    """

    def __init__(self, study: Study, archive: Path) -> None:
        self.study = study
        self.runs: Runs = load_runs(archive, list(study.variants))
        self.images = load_images(archive)
        self.claims = [Comparison(*pair) for pair in study.claims]
        self.primary: str = study.primary or next(iter(self.images), '')
        if not self.runs:
            raise UserError(
                f"'{archive}' has no run of {study.path}; run the study and give the folder of its "
                'results.'
            )

    def label(self, variant: str) -> str:
        """Return the description of a variant."""
        return self.study.variant(variant).about

    def rows(self, table: Mapping[str, Sequence[Tuple[str, str]]]) -> List[Comparison]:
        """Return the comparisons of a table that have runs."""
        comparisons = [Comparison(variant, over) for variant, over in table['gains']]
        return [c for c in comparisons if {c.variant, c.over} <= set(self.runs)]

    def corrected_p(self) -> Dict[Comparison, Optional[float]]:
        """Return the corrected p-value of each claim on the primary test set."""
        rows = [row for row in self.claims if {row.variant, row.over} <= set(self.runs)]
        gains = {row: self.gain(row, self.primary) for row in rows}
        known = {row: gain.p for row, gain in gains.items() if gain and gain.p is not None}
        # a claim without an interval counts in the correction
        values = [known.get(row, 1.0) for row in self.claims]
        corrected = dict(zip(self.claims, holm(values)))
        return {row: corrected[row] for row in known}

    def gain(
        self, row: Comparison, test: str, chosen: Optional[Sequence[bool]] = None
    ) -> Optional[Gain]:
        """Return the gain of a comparison on a test set; see :func:`gain_of`."""
        runs = self.runs[row.variant], self.runs[row.over]
        return gain_of(*runs, test, self.images[test], chosen)


def write_report(results: Results, out: Path) -> Path:
    """Write ``README.md`` with the tables, and the plots.

    Args:
        results: Results of a study.
        out: Output folder; it is created if needed.

    Returns:
        The path of the page.
    """
    study = results.study
    parts = [
        f'# {study.title}',
        *([front_table(results)] if study.front else []),
        _INTRODUCTION,
        *_warnings(results),
        '## Test sets',
        _test_sets(results.images, results.runs),
        '## Runs',
        _COSTS,
        _costs(results),
    ]
    for table in study.tables:
        rows = results.rows(table)
        if len(rows) > bool(table.get('shares')):  # a share needs a second row
            parts += [f'## {table["title"]}', *_tables(results, rows, _has_first(table, rows))]
    _plot_curves(results, out / 'curves.png')
    parts += ['## Learning curves', '![PSNR on part of val during training](curves.png)']
    page = out / 'README.md'
    write_text(page, '\n\n'.join(parts) + '\n')
    return page


def front_table(results: Results, tests: Optional[Sequence[str]] = None) -> str:
    """Make the table of the main comparison, which the manual shows too.

    Args:
        results: Results of a study. Its first table compares variants with one reference.
        tests: Test sets of the columns; by default, ``front`` of the study.

    Returns:
        The table as Markdown, with the cost relative to the plain network (the first variant) and
        to the reference.
    """
    rows = results.rows(results.study.tables[0])
    reference = rows[0].over
    plain = _macs(results.runs, next(iter(results.runs)))
    lines = []
    for variant in dict.fromkeys([next(iter(results.runs)), reference, *[r.variant for r in rows]]):
        macs = _macs(results.runs, variant)
        cost = [f'{macs / base - 1:+.0%}' for base in (plain, _macs(results.runs, reference))]
        gains = [
            '0' if variant == reference else _cell(results.gain(Comparison(variant, reference), t))
            for t in tests or results.study.front
        ]
        minutes = f'{_minutes(results.runs[variant]):.0f}'
        lines.append([results.label(variant), f'{macs / 1e9:.2f}', *cost, minutes, *gains])
    header = ['network', 'GMAC', 'over plain', 'over widened', 'minutes']
    return text_table([*header, *(tests or results.study.front)], lines)


def _macs(runs: Runs, variant: str) -> int:
    return next(iter(runs[variant].values())).macs


def _minutes(runs: Mapping[int, Run]) -> float:
    return min(run.minutes for run in runs.values())


def _warnings(results: Results) -> List[str]:
    """Name the runs that saw other batches than the first run with their seed, and the machines."""
    texts, first = [], next(iter(results.runs))
    other = [
        f'{variant} seed {seed}'
        for variant, runs in results.runs.items()
        for seed, run in runs.items()
        if run.batches
        and seed in results.runs[first]
        and run.batches != results.runs[first][seed].batches
    ]
    if other:
        texts.append(
            f'**These runs were not trained on the same batches as {first}: {", ".join(other)}.**'
        )
    every = [run.machine for runs in results.runs.values() for run in runs.values()]
    machines = sorted({f'{m["processor"]}, PyTorch {m["torch"]}' for m in every})
    return [*texts, f'Machine: {"; ".join(machines)}.']


def _test_sets(images: Mapping[str, Images], runs: Runs) -> str:
    """Make the table of the test sets."""
    first = next(iter(next(iter(runs.values())).values()))
    lines = []
    for name, test in images.items():
        known = [extent for extent in test.extent if extent is not None]
        extents = f'{100 * np.median(known):.1f} %' if known else '-'
        if name in first.psnr:
            lines.append([name, str(len(test.key)), f'{np.mean(test.psnr):.2f}', extents])
    return text_table(['test set', 'images', 'PSNR of the blurry images', 'median extent'], lines)


def _costs(results: Results) -> str:
    """Make the table of all runs, their cost and their PSNR."""
    lines = []
    for variant, runs in results.runs.items():
        every = list(runs.values())
        losses = [run.prior_loss for run in every if run.prior_loss]
        loss = ' to '.join(f'{value:.3f}' for value in np.mean(losses, 0)) if losses else '-'
        lines.append(
            [
                results.label(variant),
                f'`{variant}`',
                ', '.join(map(str, runs)),
                str(every[0].steps or '-'),
                f'{every[0].parameters / 1e6:.2f}',
                f'{every[0].macs / 1e9:.2f}',
                f'{_minutes(runs):.1f}' if every[0].steps else '-',
                loss,
                f'{np.mean([np.mean(run.psnr[results.primary]) for run in every]):.2f}',
                f'{np.mean([np.mean(run.ssim[results.primary]) for run in every]):.4f}',
            ]
        )
    header = ['network', 'variant', 'seeds', 'steps', 'M parameters', 'GMAC', 'minutes']
    header += ['prior loss', f'PSNR {results.primary}', f'SSIM {results.primary}']
    return text_table(header, lines)


def _has_first(table: Mapping[str, Any], rows: Sequence[Comparison]) -> bool:
    """Return whether a table prints shares and the first comparison has runs."""
    return bool(table.get('shares')) and rows[0] == Comparison(*table['gains'][0])


def _tables(results: Results, rows: Sequence[Comparison], shares: bool) -> List[str]:
    """Make the tables of one list of comparisons: all test sets, details, and blur extents."""
    tests = [name for name in results.images if any(results.gain(row, name) for row in rows)]
    same = len({row.over for row in rows}) == 1
    names = [
        results.label(row.variant) + ('' if same else f'; over {results.label(row.over)}')
        for row in rows
    ]
    head = f'gain over {results.label(rows[0].over)}' if same else 'gain'

    def table(columns: Mapping[str, Sequence[str]]) -> str:
        lines = [[name, *cells] for name, *cells in zip(names, *columns.values())]
        return text_table([head, *columns], lines)

    everywhere = {test: [_cell(results.gain(row, test)) for row in rows] for test in tests}
    gains = [results.gain(row, results.primary) for row in rows]
    claims = results.corrected_p()
    details = {
        'seeds': [str(len(gain.seeds)) if gain else '-' for gain in gains],
        results.primary: [_mean(gain) for gain in gains],
        'over seeds': [_interval(gain.over_seeds if gain else None) for gain in gains],
        'over seeds and photos': [_interval(gain.over_both if gain else None) for gain in gains],
        'p of the claim': [_p(claims.get(row)) for row in rows],
    }
    if shares:
        details['share of the first row'] = [_share(gain, gains[0]) for gain in gains]
    extents = by_extent(results.images[results.primary])
    ranges = {
        f'{name} (n = {sum(mask)})': [
            _cell(results.gain(row, results.primary, mask)) for row in rows
        ]
        for name, mask in extents.items()
    }
    caption = f'By the extent of the blur, as a share of the size of the photo ({results.primary}):'
    return [table(everywhere), table(details), caption, table(ranges)]


def _cell(gain: Optional[Gain]) -> str:
    """Format a gain with its interval over the seeds."""
    if gain is None:
        return '-'
    if gain.over_seeds is None:
        return f'{gain.mean:+.2f} (one seed)'
    low, high = gain.over_seeds
    return f'{gain.mean:+.2f} ({low:+.2f} to {high:+.2f})'


def _share(part: Optional[Gain], whole: Optional[Gain]) -> str:
    """Format the share of a gain that remains, with its interval over the seeds."""
    if part is None or whole is None:
        return '-'
    share, interval = share_of(part, whole)
    text = '' if interval is None else f' ({interval[0]:.0%} to {interval[1]:.0%})'
    return f'{share:.0%}{text}'


def _p(p: Optional[float]) -> str:
    return '-' if p is None else f'{p:.3f}'


def _mean(gain: Optional[Gain]) -> str:
    return '-' if gain is None else f'{gain.mean:+.3f}'


def _interval(interval: Optional[Tuple[float, float]]) -> str:
    return '-' if interval is None else f'{interval[0]:+.3f} to {interval[1]:+.3f}'


def _plot_curves(results: Results, path: Path) -> None:
    """Plot the mean and the range of the learning curves over the seeds, for the first table."""
    figure = Figure(figsize=(8, 5), layout='constrained')
    axes = figure.add_subplot()
    axes.set_prop_cycle(cycler(linestyle=['-', '--', ':', '-.']) * rcParams['axes.prop_cycle'])
    tables = results.study.tables
    first = [name for pair in tables[0]['gains'] for name in pair] if tables else results.runs
    shown = dict.fromkeys(name for name in first if name in results.runs)
    for variant, runs in ((name, results.runs[name]) for name in shown):
        curves = [dict(run.curve) for run in runs.values()]
        steps = sorted(set.intersection(*map(set, curves)))
        if not steps:
            continue
        values = np.array([[curve[step] for step in steps] for curve in curves])
        (line,) = axes.plot(steps, values.mean(0), label=results.label(variant))
        axes.fill_between(steps, values.min(0), values.max(0), color=line.get_color(), alpha=0.2)
    axes.set_xlabel('steps')
    axes.set_ylabel('PSNR (dB)')
    axes.set_xscale('log')
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(alpha=0.3)
    if axes.lines:
        figure.legend(loc='outside right upper', frameon=False, fontsize=8)
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)
    write_bytes(path, content.getvalue())
