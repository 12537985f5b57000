"""The report of a study: tables and plots from the records of its runs."""

import io
import itertools
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from cycler import cycler
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmspd.errors import UserError
from mmspd.evaluation.comparison import bootstrap_interval, check_images, sequence_of
from mmspd.evaluation.severity_report import group_by_severity, plot_severity
from mmspd.utils.files import write_bytes, write_text
from mmspd.utils.severity import SEVERITIES
from mmspd.utils.tables import text_table
from prior_study.record import DONE, RECORD_NAME, read_record

__all__ = ['Gain', 'load_records', 'paired_gain', 'write_report']

Record = Dict[str, Any]
#: Dict from each variant, in the order of the report, to a dict from each seed to its record.
Records = Dict[str, Dict[int, Record]]

_METRIC = 'PSNR'
_INTRODUCTION = """\
A value is the mean ± the standard deviation over the seeds; a value of one seed has no ±. A gain is
a difference in PSNR, in dB, for the same image and seed. Its 95 % interval is a bootstrap over the
photos; it does not include the variation between seeds."""
_COSTS = """\
`minutes` is the mean training time of a run. `prior loss` is the weighted prior loss in the first
and in the last epoch, averaged over the seeds."""
_GROUPINGS = ('record', 'blur extent')  # ways to group images, the preferred first


class Gain(NamedTuple):
    """The gain of a variant over a reference, paired by seed and image.

    Attributes:
        seeds: Number of seeds that both variants were trained with.
        mean: Mean difference of PSNR in dB.
        std: Standard deviation of the mean difference over the seeds, in dB. None for one seed.
        interval: 95 % interval of ``mean`` in dB. It is a bootstrap over the photos and does not
            include the variation between seeds; see
            :func:`~mmspd.evaluation.comparison.bootstrap_interval`.
    """

    seeds: int
    mean: float
    std: Optional[float]
    interval: Optional[Sequence[float]]


def load_records(results: Path, first: Sequence[str], only: bool = False) -> Records:
    """Read the records of all finished runs of a study.

    Args:
        results: Folder of the study's results.
        first: Variants that come first, in this order.
        only: Whether to leave out all variants that are not in ``first``.

    Returns:
        A dict from each variant to a dict from each seed to its record.

    Raises:
        UserError: A variant in ``first`` has no finished run.
    """
    records: Records = {}
    for path in sorted(results.glob(f'*/seed*/{RECORD_NAME}')):
        record = read_record(path.parent)
        if record['status'] == DONE:
            records.setdefault(record['variant'], {})[record['seed']] = record
    missing = [variant for variant in first if variant not in records]
    if missing:
        held = ', '.join(records) or 'no finished run'
        raise UserError(
            f"'{results}' has no result of '{missing[0]}' (it holds {held}); run the variant, or "
            'choose another variant with --reference or --only.'
        )
    return {**{variant: records[variant] for variant in first}, **({} if only else records)}


def paired_gain(
    reference: Mapping[int, Record],
    other: Mapping[int, Record],
    test: str,
    keys: Optional[Sequence[str]] = None,
) -> Optional[Gain]:
    """Compare two variants on a test set, image by image and seed by seed.

    Args:
        reference: Dict from each seed to the record of the reference.
        other: Dict from each seed to the record of the other variant.
        test: Name of the test set.
        keys: Keys of the images to compare; by default, all images.

    Returns:
        The gain in PSNR, or None if the variants have no seed in common.
    """
    seeds = [seed for seed in reference if seed in other]
    if not seeds:
        return None
    first, second = (
        [_values(records[seed], test) for seed in seeds] for records in (reference, other)
    )
    keys = list(first[0]) if keys is None else keys
    # (seeds, images)
    gains = np.array([[b[key] - a[key] for key in keys] for a, b in zip(first, second)])
    photos = [sequence_of(key) or key for key in keys]
    std = float(gains.mean(1).std(ddof=1)) if len(seeds) > 1 else None
    return Gain(len(seeds), float(gains.mean()), std, bootstrap_interval(gains.mean(0), photos))


def _values(record: Record, test: str) -> Dict[str, float]:
    """Return the PSNR of every image of a test."""
    return {image['key']: image[_METRIC] for image in record['tests'][test]['images']}


def _first(runs: Mapping[int, Record]) -> Record:
    """Return the record of a variant's first seed."""
    return next(iter(runs.values()))


def write_report(records: Records, out: Path, references: Sequence[str]) -> Path:
    """Write ``README.md`` with the tables and plots of a study.

    Args:
        records: Records from :func:`load_records`.
        out: Output folder; it is created if needed.
        references: Variants with which all variants are compared. They come first in ``records``.

    Returns:
        The path of the page.

    Raises:
        UserError: The runs were not tested on the same images.
    """
    _check_tests(records)
    parts = [
        f'# Results\n\n{_INTRODUCTION}',
        *_warnings(records),
        f'## Variants\n\n{_COSTS}',
        _costs(records),
    ]
    for test in _first(records[references[0]])['tests']:
        plot = _plot_gains(records, test, out)
        parts += [f'## {test}', _results(records, test, references)]
        parts += [_by_severity(records, test, reference) for reference in references]
        parts += [f'![Gain over the blurry image by severity]({plot})'] if plot else []
    _plot_curves(records, out / 'curves.png')
    parts += ['## Learning curves', '![PSNR on part of val during training](curves.png)']
    page = out / 'README.md'
    write_text(page, '\n\n'.join(part for part in parts if part) + '\n')
    return page


def _check_tests(records: Records) -> None:
    """Raise an error if the runs were not all tested on the same images.

    Raises:
        UserError: A run was tested on other images than the first run.
    """
    (first, expected), *others = [
        (f'{variant} seed {seed}', record['tests'])
        for variant, runs in records.items()
        for seed, record in runs.items()
    ]
    for (run, tests), (test, result) in itertools.product(others, expected.items()):
        try:
            check_images(result['images'], tests.get(test, {}).get('images', []))
        except UserError as error:
            raise UserError(f'Cannot compare {first} and {run} on {test}: {error}') from error


def _warnings(records: Records) -> List[str]:
    """Return a warning that names the runs whose batches differ from the first variant's."""
    reference = next(iter(records))
    expected = {seed: record.get('batches') for seed, record in records[reference].items()}
    differing = [
        f'{variant} seed {seed}'
        for variant, runs in records.items()
        for seed, record in runs.items()
        if record.get('batches') and record['batches'] != expected.get(seed, record['batches'])
    ]
    if not differing:
        return []
    return [
        f'**These runs were not trained on the same batches as {reference}: '
        f'{", ".join(differing)}.**'
    ]


def _costs(records: Records) -> str:
    """Make a table of the variants, their cost and their prior loss."""
    rows = []
    for variant, runs in records.items():
        record = _first(runs)
        trained = [run['epochs'] for run in runs.values() if run.get('epochs')]
        seconds = [sum(epoch['seconds'] for epoch in epochs) / 60 for epochs in trained]
        prior = [
            f'{np.mean([epochs[i]["loss_prior"] for epochs in trained]):.4f}'
            for i in (0, -1)
            if trained and all('loss_prior' in epochs[i] for epochs in trained)
        ]
        rows.append(
            [
                f'`{variant}`',
                record['about'],
                ', '.join(map(str, sorted(runs))),
                str(trained[0][-1]['step']) if trained else '-',
                f'{record["parameters"] / 1e6:.2f}',
                f'{record["macs"] / 1e9:.2f}',
                f'{np.mean(seconds):.1f}' if seconds else '-',
                ' to '.join(prior) or '-',
            ]
        )
    header = ['variant', 'description', 'seeds', 'steps', 'M parameters', 'GMAC at 256x256']
    return text_table([*header, 'minutes', 'prior loss'], rows)


def _results(records: Records, test: str, references: Sequence[str]) -> str:
    """Make a table of the metrics on a test set, and of the gains over the references."""
    rows = []
    for variant, runs in records.items():
        metrics = [record['tests'][test]['metrics'] for record in runs.values()]
        psnr, ssim = ([m[name] for m in metrics] for name in (_METRIC, 'SSIM-2d'))
        gains = [
            paired_gain(records[reference], runs, test) if variant != reference else None
            for reference in references
        ]
        cells = [cell for gain in gains for cell in _gain_cells(gain)]
        rows.append([f'`{variant}`', _spread(psnr, 2), _spread(ssim, 4), *cells])
    blurry = _first(records[references[0]])['tests'][test]
    header = ['variant', 'PSNR', 'SSIM']
    for reference in references:
        header += [f'gain over {reference}', '95 % interval']
    caption = (
        f'{len(blurry["images"])} images. The PSNR of the blurry images is '
        f'{blurry["metrics"]["PSNR-input"]:.2f} dB.'
    )
    return f'{caption}\n\n{text_table(header, rows)}'


def _spread(values: Sequence[float], digits: int) -> str:
    """Format the mean and the standard deviation over the seeds."""
    mean = f'{np.mean(values):.{digits}f}'
    return f'{mean} ± {np.std(values, ddof=1):.{digits}f}' if len(values) > 1 else mean


def _gain_cells(gain: Optional[Gain]) -> List[str]:
    """Format a gain and its interval."""
    if gain is None:
        return ['-', '-']
    spread = '' if gain.std is None else f' ± {gain.std:.3f}'
    if gain.interval is None:
        return [f'{gain.mean:+.3f}{spread}', '-']
    low, high = gain.interval
    return [f'{gain.mean:+.3f}{spread}', f'{low:+.3f} to {high:+.3f}']


def _by_severity(records: Records, test: str, reference: str) -> str:
    """Make a table of the gains over a reference at each severity of the blur."""
    others = [variant for variant in records if variant != reference]
    images = _first(records[reference])['tests'][test]['images']
    groups: Dict[str, List[str]] = {name: [] for name in (*SEVERITIES, 'unknown')}
    for image in images:
        for (group,) in _grouped([image]).values():  # a single image is in a single group
            groups.setdefault(group['name'], []).append(image['key'])
    groups = {name: keys for name, keys in groups.items() if keys}
    if not groups or not others:
        return ''
    rows = []
    for variant in others:
        gains = [
            paired_gain(records[reference], records[variant], test, keys)
            for keys in groups.values()
        ]
        rows.append([f'`{variant}`', *('; '.join(_gain_cells(gain)) for gain in gains)])
    columns = [f'{name} (n = {len(keys)})' for name, keys in groups.items()]
    caption = f'Gain over {reference} and its 95 % interval, by severity of the blur:'
    return f'{caption}\n\n{text_table([f"gain over {reference}", *columns], rows)}'


def _grouped(images: Sequence[Dict[str, Any]]) -> Dict[str, List[Dict[str, Any]]]:
    """Group images by their recorded severity; if it is unknown, by their blur extent."""
    groupings = group_by_severity(images)
    return next(({name: groupings[name]} for name in _GROUPINGS if name in groupings), {})


def _plot_gains(records: Records, test: str, out: Path) -> Optional[str]:
    """Plot the gain over the blurry image at each severity. Return the name of the plot."""
    groups = {variant: _grouped(_mean_images(runs, test)) for variant, runs in records.items()}
    if not any(groups.values()):
        return None
    plot_severity(groups, out / f'severity_{test}.png')
    return f'severity_{test}.png'


def _mean_images(runs: Mapping[int, Record], test: str) -> List[Dict[str, Any]]:
    """Return the images of a test, each with the mean of its PSNR over the seeds."""
    seeds = [_values(record, test) for record in runs.values()]
    images = _first(runs)['tests'][test]['images']
    return [
        {**image, _METRIC: float(np.mean([values[image['key']] for values in seeds]))}
        for image in images
    ]


def _plot_curves(records: Records, path: Path) -> None:
    """Plot the mean and the range of the learning curves over the seeds."""
    figure = Figure(figsize=(8, 5), layout='constrained')
    axes = figure.add_subplot()
    axes.set_prop_cycle(cycler(linestyle=['-', '--', ':', '-.']) * rcParams['axes.prop_cycle'])
    for variant, runs in records.items():
        curves = [{p['step']: p[_METRIC] for p in run.get('curve', ())} for run in runs.values()]
        steps = sorted(set.intersection(*map(set, curves)))
        if not steps:
            continue
        values = np.array([[curve[step] for step in steps] for curve in curves])
        (line,) = axes.plot(steps, values.mean(0), label=variant)
        axes.fill_between(steps, values.min(0), values.max(0), color=line.get_color(), alpha=0.2)
    axes.set_xlabel('steps')
    axes.set_ylabel('PSNR (dB)')
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(alpha=0.3)
    if axes.lines:
        figure.legend(loc='outside right upper', frameon=False, fontsize=8)
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)
    write_bytes(path, content.getvalue())
