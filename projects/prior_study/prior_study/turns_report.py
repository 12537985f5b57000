"""The report of a comparison in turns: tables, and a plot of the learning curves."""

import io
import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmspd.errors import UserError
from mmspd.evaluation.comparison import bootstrap_interval, sequence_of
from mmspd.utils.files import write_bytes, write_text
from mmspd.utils.tables import text_table
from prior_study.statistics import crossed_interval

__all__ = ['PairedGain', 'after_same_samples', 'paired_gain', 'read_curves', 'write_report']

#: The PSNR of each image, by the key of the image.
Values = Mapping[str, float]
#: The PSNR of the images restored by the reference and by another variant.
Pair = Tuple[Values, Values]
Point = Dict[str, Any]

_INTRODUCTION = """\
A gain is the difference in PSNR (dB) from `{reference}`, for the same image and seed. The brackets
hold its 95 % interval; there is none for fewer than five photos. It is a bootstrap over the photos
or, with several seeds, an interval for new seeds and photos; the gain of each seed follows then. An
interval of one seed does not include the variation between seeds, so **differences of about 0.05 dB
are not settled here.**"""
_SAME_TIME = """\
{test}: PSNR of `{reference}`, and gains after the same time of training. The time includes loading
and blur. If the host limits the speed, a wider network takes no more time."""
_SAME_SAMPLES = """\
{test}: gains after the same number of samples. The PSNR of `{reference}` is interpolated between
its evaluations, over the logarithm of the samples."""
_MUCH_WAITING = 0.1


class PairedGain(NamedTuple):
    """The gain of a variant over another, paired by seed and image, in dB.

    Attributes:
        per_seed: Mean gain of each seed.
        interval: 95 % interval of the mean gain over the photos and, if there are several, over the
            seeds. None for fewer than five photos.
    """

    per_seed: List[float]
    interval: Optional[Tuple[float, float]]

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return float(np.mean(self.per_seed))

    def text(self) -> str:
        """Return the gain with its interval and, if there are several, with that of each seed."""
        text = f'{self.mean:+.2f}'
        if self.interval:
            text += f' [{self.interval[0]:+.2f}, {self.interval[1]:+.2f}]'
        if len(self.per_seed) > 1:
            text += f' ({", ".join(f"{gain:+.2f}" for gain in self.per_seed)})'
        return text


def paired_gain(pairs: Sequence[Pair]) -> Optional[PairedGain]:
    """Compute the gain of a variant over a reference.

    Args:
        pairs: For each seed, the PSNR of each image for the reference and for the variant.

    Returns:
        The gain, or None if there is no seed.

    Examples:
        >>> from prior_study.turns_report import paired_gain
        >>> names = [f'photo{number}' for number in range(5)]
        >>> gain = paired_gain([(dict.fromkeys(names, 30.0), dict.fromkeys(names, 30.5))])
        >>> gain.text()
        '+0.50 [+0.50, +0.50]'
    """
    if not pairs:
        return None
    keys = list(pairs[0][0])
    gains = np.array([[other[key] - reference[key] for key in keys] for reference, other in pairs])
    photos = [sequence_of(key) or key for key in keys]
    several = len(gains) > 1
    interval = crossed_interval(gains, photos) if several else bootstrap_interval(gains[0], photos)
    return PairedGain(gains.mean(1).tolist(), interval)


def after_same_samples(reference: Sequence[Point], point: Point, test: str) -> Optional[Pair]:
    """Return the PSNR of a reference and of a variant after the same number of samples.

    Args:
        reference: Learning curve of the reference, without the untrained network.
        point: Point of the learning curve of the variant.
        test: Name of the test set.

    Returns:
        The interpolated PSNR of each image for the reference, and the PSNR for the variant. None if
        the reference was not evaluated before and after this number of samples.
    """
    counts = [each['samples'] for each in reference]
    if not counts or not counts[0] <= point['samples'] <= counts[-1]:
        return None
    place, places = np.log(point['samples']), np.log(counts)
    own = point['psnr'][test]
    curves = {key: [each['psnr'][test][key] for each in reference] for key in own}
    return {key: float(np.interp(place, places, curve)) for key, curve in curves.items()}, own


def read_curves(path: Path) -> Dict[str, Any]:
    """Read the record of a comparison.

    Args:
        path: File that ``gpu.py`` has written.

    Returns:
        The record.

    Raises:
        UserError: The file is missing, damaged or of another version.
    """
    try:
        record = json.loads(path.read_text('utf-8'))
        schema = record['schema']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"Cannot read '{path}' ({type(error).__name__}); give the output folder of gpu.py."
        ) from error
    if schema != 1:
        raise UserError(f"'{path}' is a record of another version of mmspd; run gpu.py again.")
    return record


def write_report(record: Dict[str, Any], out: Path) -> Path:
    """Write ``README.md`` and ``curves.png``.

    Args:
        record: Record of :class:`~prior_study.turns_run.Comparison`, also of one that was cut off.
        out: Output folder.

    Returns:
        The path of the page.
    """
    parts = [
        '# Variants in turns on one device',
        _conditions(record),
        _INTRODUCTION.format(reference=record['reference']),
        *_warnings(record),
        '## Variants',
        _costs(record),
        *_tests(record, out),
        '## During training',
        *_during_training(record),
    ]
    _plot(record, out / 'curves.png')
    page = out / 'README.md'
    write_text(page, '\n\n'.join([*parts, '![PSNR during training](curves.png)']) + '\n')
    return page


def _conditions(record: Dict[str, Any]) -> str:
    machine = ', '.join(f'{name}: {value}' for name, value in record['machine'].items())
    runs = ', '.join(f'seed {run["seed"]} ({run["status"]})' for run in record['runs'])
    return (
        f'- {record["date"]}, {record["precision"]}, {record["minutes"]:g} minutes, {runs}\n'
        f'- {machine}\n'
        f'- `{record["command"]}`'
    )


def _warnings(record: Dict[str, Any]) -> List[str]:
    """Return a sentence for each fact that limits the comparison."""
    sentences = []
    for run in record['runs']:
        variants = run['variants'].items()
        if run['status'] == 'running':
            sentences.append(f'Seed {run["seed"]} was cut off.')
        # a variant may have made fewer steps than there are hashes
        if any(len(set(batches)) > 1 for batches in zip(*(v['batches'] for _, v in variants))):
            sentences.append(f'Seed {run["seed"]}: the variants got different samples.')
        for name, variant in variants:
            if variant['diverged']:
                sentences.append(f'Seed {run["seed"]}: the loss of {name} became infinite or NaN.')
            for point in variant['curve'][-1:]:
                if point['waiting'] > _MUCH_WAITING * point['seconds']:
                    sentences.append(
                        f'Seed {run["seed"]}: {name} waited for data in '
                        f'{point["waiting"] / point["seconds"]:.0%} of its time, so compare it '
                        'after the same number of samples only.'
                    )
    return [f'**{sentence}**' for sentence in sentences]


def _names(record: Dict[str, Any]) -> List[str]:
    return list(record['runs'][0]['variants'])


def _costs(record: Dict[str, Any]) -> str:
    """Make a table of the cost and the speed of the variants, as means over the seeds."""
    rows = []
    for name in _names(record):
        variants = [run['variants'][name] for run in record['runs']]
        ends = [variant['curve'][-1] for variant in variants if variant['curve']]
        samples, seconds = (sum(end[key] for end in ends) for key in ('samples', 'seconds'))
        rows.append(
            [
                f'`{name}`',
                record['about'][name],
                f'{variants[0]["parameters"] / 1e6:.2f}',
                f'{variants[0]["macs"] / 1e9:.2f}',
                f'{samples / max(1, len(ends)):.0f}',
                f'{seconds / max(1, len(ends)):.1f}',
                f'{samples / seconds:.0f}' if seconds else '-',
                f'{sum(end["waiting"] for end in ends) / seconds:.0%}' if seconds else '-',
            ]
        )
    header = ['variant', 'description', 'M parameters', 'GMAC at 256x256', 'samples', 'seconds']
    return text_table([*header, 'samples per second', 'waiting for data'], rows)


def _tests(record: Dict[str, Any], out: Path) -> List[str]:
    """Return a section for each test set."""
    tests = {
        test: images
        for run in record['runs']
        for variant in run['variants'].values()
        for test, images in variant['tests'].items()
    }
    parts = []
    for test, images in tests.items():
        blurry = np.mean([image['PSNR-input'] for image in images])
        parts += [
            f'## {test}',
            f'{len(images)} images. The PSNR of the blurry images is {blurry:.2f} dB.',
            _test_table(record, test, _ranges(record, images)),
        ]
        if (out / f'{test}.png').is_file():
            parts.append(f'![The centers of three images]({test}.png)')
    return parts


def _ranges(record: Dict[str, Any], images: Sequence[Dict[str, Any]]) -> Dict[str, List[str]]:
    """Return the keys of all images, and of the images in each range of the blur extent."""
    ranges = {'gain': [image['key'] for image in images]}
    for low, high in record['blurs'] if 'extent' in images[0] else ():
        keys = [image['key'] for image in images if low <= image['extent'] < high]
        if keys:
            ranges[f'gain, {low} to {high} px (n = {len(keys)})'] = keys
    return ranges


def _test_table(record: Dict[str, Any], test: str, ranges: Dict[str, List[str]]) -> str:
    """Make a table of the metrics of a test set, and of the gains in ranges of the blur extent."""
    rows = []
    for name in _names(record):
        # for each seed, the images by their keys
        tested = [_tested(run, name, test) for run in record['runs']]
        images = [image for results in tested for image in results.values()]
        if not images:
            continue
        references = [_tested(run, record['reference'], test) for run in record['runs']]
        both = [pair for pair in zip(references, tested) if all(pair)]
        gains = [
            paired_gain([(_psnr(first, keys), _psnr(second, keys)) for first, second in both])
            for keys in ranges.values()
        ]
        psnr, ssim = (np.mean([image[key] for image in images]) for key in ('PSNR', 'SSIM-2d'))
        cells = ['-' if name == record['reference'] else _cell(gain) for gain in gains]
        rows.append([f'`{name}`', f'{psnr:.2f}', f'{ssim:.4f}', *cells])
    return text_table(['variant', 'PSNR', 'SSIM', *ranges], rows)


def _tested(run: Dict[str, Any], name: str, test: str) -> Dict[str, Dict[str, Any]]:
    return {image['key']: image for image in run['variants'][name]['tests'].get(test, ())}


def _psnr(images: Dict[str, Dict[str, Any]], keys: Sequence[str]) -> Values:
    return {key: images[key]['PSNR'] for key in keys}


def _cell(gain: Optional[PairedGain]) -> str:
    return '-' if gain is None else gain.text()


def _curves(record: Dict[str, Any], name: str) -> List[List[Point]]:
    """Return the learning curve of each seed, without the untrained network."""
    curves = [run['variants'][name]['curve'] for run in record['runs']]
    return [[point for point in curve if point['samples']] for curve in curves]


def _during_training(record: Dict[str, Any]) -> List[str]:
    """Return two tables for each test set of the learning curves."""
    references = _curves(record, record['reference'])
    others = {name: _curves(record, name) for name in _names(record) if name != record['reference']}
    parts = []
    for test in dict.fromkeys(
        test for curve in references for point in curve for test in point['psnr']
    ):
        names = dict(test=test, reference=record['reference'])
        parts += [
            _SAME_TIME.format(**names),
            _same_time(references, others, test),
            _SAME_SAMPLES.format(**names),
            _same_samples(references, others, test),
        ]
    return parts


def _same_time(
    references: List[List[Point]], others: Dict[str, List[List[Point]]], test: str
) -> str:
    """Make a table with a row for each evaluation."""
    rows = []
    for number in range(max(map(len, references))):
        points = [curve[number] for curve in references if number < len(curve)]
        psnr = [value for point in points for value in point['psnr'][test].values()]
        gains = [
            paired_gain(
                [
                    (reference[number]['psnr'][test], curve[number]['psnr'][test])
                    for reference, curve in zip(references, curves)
                    if number < min(len(reference), len(curve))
                ]
            )
            for curves in others.values()
        ]
        seconds = np.mean([point['seconds'] for point in points])
        rows.append([f'{seconds:.1f}', f'{np.mean(psnr):.2f}', *map(_cell, gains)])
    return text_table(['seconds', 'PSNR', *(f'gain of {name}' for name in others)], rows)


def _same_samples(
    references: List[List[Point]], others: Dict[str, List[List[Point]]], test: str
) -> str:
    """Make a table with a row for each evaluation of each variant."""
    rows = []
    for name, curves in others.items():
        for number in range(max(map(len, curves))):
            held = [pair for pair in zip(references, curves) if number < len(pair[1])]
            pairs = [after_same_samples(a, curve[number], test) for a, curve in held]
            samples = np.mean([curve[number]['samples'] for _, curve in held])
            gain = paired_gain([pair for pair in pairs if pair])
            rows.append([f'`{name}`', f'{samples:.0f}', _cell(gain)])
    return text_table(['variant', 'samples', 'gain'], rows)


def _plot(record: Dict[str, Any], path: Path) -> None:
    """Plot the learning curves over the samples and over the seconds."""
    figure = Figure(figsize=(10, 4.5), layout='constrained')
    panels = figure.subplots(1, 2, sharey=True)
    for color, name in zip(rcParams['axes.prop_cycle'].by_key()['color'], _names(record)):
        for seed, curve in enumerate(_curves(record, name)):
            psnr = [
                np.mean([value for values in point['psnr'].values() for value in values.values()])
                for point in curve
            ]
            for panel, key in zip(panels, ('samples', 'seconds')):
                places = [point[key] for point in curve]
                label = None if seed else name
                panel.plot(places, psnr, marker='o', markersize=3, color=color, label=label)
    for panel, label in zip(panels, ('samples', 'seconds of training')):
        panel.set(xscale='log', xlabel=label)
        panel.spines[['top', 'right']].set_visible(False)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel('PSNR (dB) of the averaged weights')
    figure.legend(*panels[0].get_legend_handles_labels(), loc='outside right upper', frameon=False)
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)
    write_bytes(path, content.getvalue())
