"""Compare several results with the first one, and format the comparisons as text."""

from dataclasses import dataclass, replace
from typing import Collection, Dict, List, Mapping, Optional, Sequence

from mmspd.evaluation.comparison import (
    Difference,
    Interval,
    better_and_worse,
    compare,
    compared_metrics,
    differences_of,
    sequence_of,
)
from mmspd.evaluation.metrics import MetricInfo
from mmspd.evaluation.paper_tables import PaperRow, paper_notes, paper_row_of, paper_value
from mmspd.evaluation.provenance import FOLDERS
from mmspd.evaluation.results import Result
from mmspd.evaluation.severity_report import images_by_severity
from mmspd.utils.tables import text_table

__all__ = ['Comparison', 'compare_all', 'comparison_text']

_LISTED = 5


@dataclass(frozen=True)
class Comparison:
    """Comparison of a result with the first result.

    Attributes:
        name: Label of the result.
        metrics: One difference per metric.
        severity: A dict from each grouping by severity to a dict from the names of its groups to
            the differences of one metric.
        images: A dict from the key of each image to its difference in this metric, sorted from the
            largest gain over the first result to the largest loss.
    """

    name: str
    metrics: List[Difference]
    severity: Dict[str, Dict[str, Difference]]
    images: Dict[str, float]


def compare_all(results: Mapping[str, Result], metric: str) -> List[Comparison]:
    """Compare all results with the first one.

    Args:
        results: A dict from labels to at least two results that
            :func:`~mmspd.evaluation.comparison.check_comparable` accepts.
        metric: Metric for :attr:`Comparison.severity` and :attr:`Comparison.images`.

    Returns:
        One comparison for each result except the first.
    """
    (_, reference), *others = results.items()
    metrics = compared_metrics(results)
    higher_is_better = bool(reference.metric_info[metric].higher_is_better)
    comparisons = []
    for label, other in others:
        differences = [compare(reference, other, name) for name in metrics]
        images = differences_of(reference, other, metric)
        ranked = sorted(images.items(), key=lambda item: item[1], reverse=higher_is_better)
        comparisons.append(
            Comparison(
                label,
                [difference for difference in differences if difference is not None],
                _compare_groups(reference, other, metric),
                dict(ranked),
            )
        )
    return comparisons


def _compare_groups(
    reference: Result, other: Result, metric: str
) -> Dict[str, Dict[str, Difference]]:
    """Compare two results separately for each severity group of each grouping."""
    compared: Dict[str, Dict[str, Difference]] = {}
    for grouping, groups in images_by_severity(reference.images).items():
        for name, images in groups.items():
            keys = {image['key'] for image in images}
            partner = [image for image in other.images if image['key'] in keys]
            difference = compare(
                replace(reference, images=images), replace(other, images=partner), metric
            )
            if difference is not None:
                compared.setdefault(grouping, {})[name] = difference
    return compared


def comparison_text(
    results: Mapping[str, Result], comparisons: Sequence[Comparison], metric: str
) -> str:
    """Format comparisons as Markdown that is also readable in a terminal.

    Args:
        results: The results that were passed to :func:`compare_all`.
        comparisons: The comparisons that :func:`compare_all` returned.
        metric: The metric that was passed to :func:`compare_all`.

    Returns:
        Markdown text.
    """
    first = next(iter(results))
    parts = [_provenance_text(results)]
    for comparison in comparisons:
        pair = {label: results[label] for label in (first, comparison.name)}
        parts.append(f'# {comparison.name} against {first}')
        parts.append(_metrics_text(pair, comparison.metrics))
        parts += [
            _groups_text(pair, metric, grouping, groups)
            for grouping, groups in comparison.severity.items()
        ]
        parts += _stored_groups_text(pair, metric, compared=comparison.severity)
        parts += _images_text(pair, metric)
    return '\n\n'.join(parts) + '\n'


def _provenance_text(results: Mapping[str, Result]) -> str:
    """List the test set, the models, and the differences that do not invalidate the comparison."""
    first = next(iter(results.values())).provenance
    dataset = first['dataset']
    choices = [
        f'{key} {value}'
        for key, value in dataset.items()
        if key not in ('type', 'root', 'is_official_set')
    ]
    choices += ['self-ensemble'] if first['self_ensemble'] else []
    choices += [f'windows of {first["window"]} pixels'] if first.get('window') else []
    lines = [f'* Protocol {first["protocol"]} on {dataset["type"]}: {", ".join(choices)}.']
    for label, result in results.items():
        lines.append(f'* {label}: {_origin_text(result)}.')
    tested = {label: result.provenance for label, result in results.items() if result.has_model}
    machines = [provenance['machine'] for provenance in tested.values()]
    for name, values in (
        ('precision', [provenance['precision'] for provenance in tested.values()]),
        ('device', [machine.get('accelerator', machine['device']) for machine in machines]),
    ):
        if len(set(values)) > 1:
            listed = ', '.join(f'{value} in {label}' for label, value in zip(tested, values))
            lines.append(f'* Note: {name} is {listed}.')
    types = {result.provenance['dataset']['type'] for result in results.values()}
    inputs = [('PSNR-input' in image) for result in results.values() for image in result.images]
    if FOLDERS in types and not all(inputs):
        lines.append(
            '* Note: the images were matched by name only, because not all results have the PSNR '
            'of the blurry images.'
        )
    return '\n'.join(lines)


def _origin_text(result: Result) -> str:
    """Name the model and the checkpoint, or the folder of finished images."""
    provenance = result.provenance
    recipe, checkpoint = provenance['config']['recipe'], provenance['checkpoint']
    origin = provenance['finished'] if checkpoint is None else checkpoint
    kind = 'finished images in ' if checkpoint is None else ''
    return f'{recipe}, {kind}{origin["path"]} ({(origin["sha256"] or "no file")[:8]})'


def _metrics_text(pair: Mapping[str, Result], differences: Sequence[Difference]) -> str:
    """Format the table of all metrics and its notes."""
    first, second = pair
    rows = [paper_row_of(result) for result in pair.values()]
    by_sequence = any(d.over_sequences for d in differences)
    header = ['metric', first, second, 'difference', '95 % by image']
    header += ['95 % by sequence'] if by_sequence else []
    header += ['better', 'worse', 'equal'] + (['paper'] if any(rows) else [])
    lines = []
    for d in differences:
        info = pair[first].metric_info[d.metric]
        direction = '' if info.higher_is_better else ' (lower is better)'
        cells = [d.metric + direction, *_values(info, d.reference, d.other)]
        cells.append(_interval(d.over_images, info))
        cells += [_interval(d.over_sequences, info)] if by_sequence else []
        cells += [str(count) for count in (d.wins, d.losses, d.ties)]
        cells += [_paper_cell(rows, d.metric, info)] if any(rows) else []
        lines.append(cells)
    notes = [
        'The intervals are 95 % confidence intervals of the mean difference (bootstrap, BCa). The '
        'columns better, worse and equal are numbers of images; equal means equal to the printed '
        'digits.'
    ]
    sequences = {sequence_of(image['key']) for image in pair[first].images}
    if by_sequence:
        notes.append(
            'Frames of one sequence resemble each other, so use the interval by sequence '
            f'({len(sequences)} sequences).'
        )
    elif any(sequences):
        notes.append(
            'Frames of one sequence resemble each other, so the interval is too narrow. '
            f'{len(sequences)} sequences are too few for a better interval.'
        )
    notes += [
        f'{d.left_out} images have no finite {d.metric} in one of the results and are excluded.'
        for d in differences
        if d.left_out
    ]
    notes += paper_notes([row for row in rows if row is not None])
    return '\n'.join([text_table(header, lines), '', *(f'* {note}' for note in notes)])


def _groups_text(
    pair: Mapping[str, Result], metric: str, grouping: str, groups: Mapping[str, Difference]
) -> str:
    """Format the table of one grouping by severity."""
    info = next(iter(pair.values())).metric_info[metric]
    by_sequence = any(d.over_sequences for d in groups.values())
    unit = 'sequence' if by_sequence else 'image'
    header = (f'{metric} by {grouping}', 'images', *pair, 'difference', f'95 % by {unit}')
    lines = []
    for name, d in groups.items():
        interval = _interval(d.over_sequences if by_sequence else d.over_images, info)
        lines.append((name, str(d.images), *_values(info, d.reference, d.other), interval))
    return text_table(header, lines)


def _stored_groups_text(
    pair: Mapping[str, Result], metric: str, compared: Collection[str]
) -> List[str]:
    """Format the tables of groupings that are only stored as means, such as those of patches."""
    first, second = pair.values()
    info = first.metric_info[metric]
    tables = []
    for grouping in [name for name in first.severity if name not in compared]:
        partners = {group['name']: group for group in second.severity.get(grouping, ())}
        lines = []
        for group in first.severity[grouping]:
            before, after = group.get(metric), partners.get(group['name'], {}).get(metric)
            if before is not None and after is not None:
                values = _values(info, before, after)
                lines.append((group['name'], str(group['count']), *values))
        if lines:
            header = (f'{metric} by {grouping}', 'count', *pair, 'difference')
            tables.append(text_table(header, lines))
    return tables


def _images_text(pair: Mapping[str, Result], metric: str) -> List[str]:
    """Format the tables of the images with the largest gains and losses."""
    first, second = pair.values()
    name = list(pair)[1]
    info = first.metric_info[metric]
    before, after = ({image['key']: image for image in result.images} for result in (first, second))
    better, worse = better_and_worse(first, second, metric)
    tables = []
    for title, kind, keys in (('best', 'better', better), ('worst', 'worse', worse)):
        header = (f'{metric}, {title} images for {name}', *pair, 'difference')
        lines = [
            (key, *_values(info, before[key][metric], after[key][metric])) for key in keys[:_LISTED]
        ]
        tables.append(text_table(header, lines) if lines else f'* No image is {kind} for {name}.')
    return tables


def _paper_cell(rows: Sequence[Optional[PaperRow]], metric: str, info: MetricInfo) -> str:
    """Format the two values of the paper and their difference; a missing value is a dash."""
    before, after = (row and paper_value(row, metric) for row in rows)
    if before is None and after is None:
        return '-'
    if before is None or after is None:
        return ' to '.join('-' if value is None else info.text(value) for value in (before, after))
    return '{} to {} ({})'.format(*_values(info, before, after))


def _values(info: MetricInfo, before: float, after: float) -> List[str]:
    """Format two values and their difference."""
    return [info.text(before), info.text(after), info.text(after - before, '+')]


def _interval(interval: Optional[Interval], info: MetricInfo) -> str:
    """Format an interval; a missing interval is a dash."""
    return '-' if interval is None else ' to '.join(info.text(value, '+') for value in interval)
