"""A comparison of results as a text for people and as plain values for programs."""

from typing import Collection, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from mmspd.evaluation.comparison import (
    Difference,
    Interval,
    compare,
    compared_metrics,
    differences_of,
    is_lower_better,
    sequence_of,
)
from mmspd.evaluation.paper_tables import (
    PaperRow,
    measured_of,
    paper_notes,
    paper_row,
    paper_value,
)
from mmspd.evaluation.results import Result
from mmspd.evaluation.severity_report import group_by_severity
from mmspd.utils.tables import text_table

__all__ = ['Comparison', 'compare_all', 'comparison_text', 'number_text', 'ranked_keys']

_LISTED = 5


class Comparison(NamedTuple):
    """What a result gains over the first one.

    Attributes:
        label: What to call the result.
        differences: One per metric.
        groups: Of the chosen metric, by grouping and group of severity.
        images: Differences of the chosen metric by the image's key.
    """

    label: str
    differences: List[Difference]
    groups: Dict[str, Dict[str, Difference]]
    images: Dict[str, float]


def compare_all(results: Mapping[str, Result], metric: str) -> List[Comparison]:
    """Compare all results with the first.

    Args:
        results: By what to call them, at least two; see
            :func:`~mmspd.evaluation.comparison.check_comparable`.
        metric: What severities and images are compared by.
    """
    (_, reference), *others = results.items()
    found = []
    for label, other in others:
        differences = [compare(reference, other, name) for name in compared_metrics(results)]
        found.append(
            Comparison(
                label,
                [difference for difference in differences if difference is not None],
                _compare_groups(reference, other, metric),
                differences_of(reference, other, metric),
            )
        )
    return found


def _compare_groups(
    reference: Result, other: Result, metric: str
) -> Dict[str, Dict[str, Difference]]:
    """Compare two results in each group of severity alone."""
    members: Dict[Tuple[str, str], Set[str]] = {}
    for image in reference.images:
        # the groups are fixed ranges: a lone image is put where it is among all
        for grouping, groups in group_by_severity([image]).items():
            for group in groups:
                members.setdefault((grouping, group['name']), set()).add(image['key'])
    found: Dict[str, Dict[str, Difference]] = {}
    for grouping, groups in group_by_severity(reference.images).items():
        for group in groups:
            keys = members[grouping, group['name']]
            parts = [
                Result(r.provenance, {}, [image for image in r.images if image['key'] in keys])
                for r in (reference, other)
            ]
            difference = compare(*parts, metric)
            if difference is not None:
                found.setdefault(grouping, {})[group['name']] = difference
    return found


def ranked_keys(comparison: Comparison, metric: str) -> List[str]:
    """Sort the images: where the result is best against the first one, first."""
    sign = 1 if is_lower_better(metric) else -1
    return sorted(comparison.images, key=lambda key: sign * comparison.images[key])


def comparison_text(
    results: Mapping[str, Result], comparisons: Sequence[Comparison], metric: str
) -> str:
    """Write comparisons as Markdown that can be read in a terminal too.

    Args:
        results: As in :func:`compare_all`.
        comparisons: What it returned.
        metric: As there.
    """
    first = next(iter(results))
    parts = [_provenance(results)]
    for comparison in comparisons:
        parts.append(f'# {comparison.label} against {first}')
        pair = {label: results[label] for label in (first, comparison.label)}
        parts.append(_metrics_text(pair, comparison.differences))
        parts += [
            _groups_text(first, comparison.label, metric, grouping, groups)
            for grouping, groups in comparison.groups.items()
        ]
        parts += _stored_groups_text(pair, metric, known=comparison.groups)
        parts.append(_images_text(pair, comparison, metric))
    return '\n\n'.join(parts) + '\n'


def _provenance(results: Mapping[str, Result]) -> str:
    """Say what was tested, and what differs without making a comparison wrong."""
    provenances = {label: result.provenance for label, result in results.items()}
    first = next(iter(provenances.values()))
    dataset = first['dataset']
    choices = [f'{key} {value}' for key, value in dataset.items() if key not in ('type', 'root')]
    choices += ['self-ensemble'] if first['self_ensemble'] else []
    lines = [f'* Protocol {first["protocol"]} on {dataset["type"]}: {", ".join(choices)}.']
    for label, provenance in provenances.items():
        checkpoint = provenance['checkpoint']
        digest = (checkpoint['sha256'] or 'no file')[:8]
        lines.append(
            f'* {label}: {provenance["config"]["recipe"]}, {checkpoint["path"]} ({digest}).'
        )
    for name in ('precision', 'device'):
        values = {label: provenance.get(name) for label, provenance in provenances.items()}
        if len(set(values.values())) > 1:
            said = ', '.join(f'{value} in {label}' for label, value in values.items())
            lines.append(f'* Note: {name} is {said}.')
    return '\n'.join(lines)


def _metrics_text(pair: Mapping[str, Result], differences: Sequence[Difference]) -> str:
    """Write the table of all metrics and what to know about it."""
    first, second = pair
    rows = [_paper_row_of(label, result) for label, result in pair.items()]
    by_sequence = any(d.over_sequences for d in differences)
    header = ['metric', first, second, 'difference', '95 % by image']
    header += ['95 % by sequence'] if by_sequence else []
    header += ['better', 'worse', 'equal'] + (['paper'] if any(rows) else [])
    lines = []
    for d in differences:
        arrow = ' (lower is better)' if is_lower_better(d.metric) else ''
        cells = [d.metric + arrow, *_means(d), _interval(d.over_images, d.metric)]
        cells += [_interval(d.over_sequences, d.metric)] if by_sequence else []
        cells += [str(count) for count in (d.wins, d.losses, d.ties)]
        cells += [_paper_cell(rows, d.metric)] if any(rows) else []
        lines.append(cells)
    notes = [
        'The intervals hold the mean difference on other images of the kind with 95 % confidence '
        '(bootstrap, BCa); better, worse and equal count images.'
    ]
    sequences = {sequence_of(image['key']) for image in pair[first].images}
    if by_sequence:
        notes.append(
            'Frames of one sequence resemble each other: trust the interval from drawing whole '
            f'sequences, of which there are {len(sequences)}.'
        )
    elif any(sequences):
        notes.append(
            'Frames of one sequence resemble each other, so that the interval is too narrow; '
            f'{len(sequences)} sequences are too few to draw from.'
        )
    notes += [
        f'{d.left_out} images have no finite {d.metric} in one of the two and are left out of it.'
        for d in differences
        if d.left_out
    ]
    notes += paper_notes([row for row in rows if row is not None])
    return '\n'.join([text_table(header, lines), '', *(f'* {note}' for note in notes)])


def _groups_text(
    first: str, second: str, metric: str, grouping: str, groups: Mapping[str, Difference]
) -> str:
    """Write the table of one grouping by severity."""
    by_sequence = any(d.over_sequences for d in groups.values())
    drawn = 'sequence' if by_sequence else 'image'
    header = (f'{metric} by {grouping}', 'images', first, second, 'difference', f'95 % by {drawn}')
    lines = [
        (
            name,
            str(d.images),
            *_means(d),
            _interval(d.over_sequences if by_sequence else d.over_images, metric),
        )
        for name, d in groups.items()
    ]
    return text_table(header, lines)


def _stored_groups_text(
    pair: Mapping[str, Result], metric: str, known: Collection[str]
) -> List[str]:
    """Write the tables of the groupings that only the results' means are left of: of patches."""
    first, second = pair
    tables = []
    for grouping in [name for name in pair[first].severity if name not in known]:
        groups, others = (
            {group['name']: group for group in result.severity.get(grouping, ())}
            for result in pair.values()
        )
        lines = []
        for name, group in groups.items():
            before, after = group.get(metric), others.get(name, {}).get(metric)
            if None not in (before, after):
                values = number_text(before, metric), number_text(after, metric)
                gain = number_text(after - before, metric, '+')
                lines.append((name, str(group['count']), *values, gain))
        if lines:
            header = (f'{metric} by {grouping}', 'count', first, second, 'difference')
            tables.append(text_table(header, lines))
    return tables


def _images_text(pair: Mapping[str, Result], comparison: Comparison, metric: str) -> str:
    """Write the images where one result gains and loses most."""
    first, second = pair
    values = [{i['key']: i.get(metric) for i in result.images} for result in pair.values()]
    ranked = ranked_keys(comparison, metric)
    count = min(_LISTED, len(ranked) // 2)
    tables = []
    for title, keys in (('best', ranked[:count]), ('worst', ranked[::-1][:count])):
        header = (f'{metric}, {title} images for {second}', first, second, 'difference')
        lines = [
            (
                key,
                *(number_text(value[key], metric) for value in values),
                number_text(comparison.images[key], metric, '+'),
            )
            for key in keys
        ]
        tables.append(text_table(header, lines))
    return '\n\n'.join(tables)


def _paper_row_of(label: str, result: Result) -> Optional[PaperRow]:
    """Find the paper's row for a result."""
    measured = measured_of(label, result)
    return measured and paper_row(measured.config, measured.dataset)


def _paper_cell(rows: Sequence[Optional[PaperRow]], metric: str) -> str:
    """Write the paper's two numbers and their difference, as far as it has them."""
    before, after = (row and paper_value(row, metric) for row in rows)
    if before is None and after is None:
        return '-'
    gain = '' if None in (before, after) else f' ({number_text(after - before, metric, "+")})'
    return ' to '.join('-' if v is None else number_text(v, metric) for v in (before, after)) + gain


def _means(difference: Difference) -> List[str]:
    """Write both means and the difference."""
    metric = difference.metric
    means = [number_text(value, metric) for value in (difference.reference, difference.other)]
    return [*means, number_text(difference.difference, metric, '+')]


def _interval(interval: Optional[Interval], metric: str) -> str:
    """Write an interval; one of too few draws is a dash."""
    if interval is None:
        return '-'
    return ' to '.join(number_text(value, metric, '+') for value in interval)


def number_text(value: float, metric: str, sign: str = '') -> str:
    """Write dB with two digits, anything else with four."""
    return f'{value:{sign}.{2 if metric.startswith("PSNR") else 4}f}'
