"""Metrics and gains by blur severity, as a table and as a plot."""

import io
import math
from numbers import Real
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmspd.errors import UserError
from mmspd.evaluation.metrics import PSNR, MetricInfo
from mmspd.utils.files import write_bytes
from mmspd.utils.severity import SEVERITIES, severity_of
from mmspd.utils.tables import text_table

__all__ = ['group_by_severity', 'images_by_severity', 'plot_severity', 'severity_table']

#: A dict from names to the values of an image, a patch or a group.
Values = Dict[str, Any]
#: A dict from each grouping to its groups, with ``name``, ``count`` and the means of the metrics.
Groups = Dict[str, List[Values]]

_PSNR_EDGES = (32, 29, 26, 23, 20)  # dB
_PSNR_NAMES = (
    f'>= {_PSNR_EDGES[0]} dB',
    *(f'{low}-{high} dB' for high, low in zip(_PSNR_EDGES, _PSNR_EDGES[1:])),
    f'< {_PSNR_EDGES[-1]} dB',
)
_UNKNOWN = 'unknown'
_COLORS = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00')  # Okabe and Ito
_HATCHES = ('', '//', '..')  # the next one is used when all colors are used


def group_by_severity(images: Sequence[Values]) -> Groups:
    """Average the metrics over images of similar blur severity.

    There are four groupings. The groups are ordered from mild to severe. A grouping without data is
    omitted.

    * ``input PSNR``: the PSNR of the blurry image, in steps of 3 dB.
    * ``blur extent``: the severity of the measured extent, see
      :data:`mmspd.utils.severity.SEVERITIES`, or ``unknown`` if the extent cannot be measured.
    * ``record``: the severity that the data set has recorded for the image.
    * ``patches by input PSNR``: patches of the images, grouped by the PSNR of the blurry patch. The
      only metric is PSNR.

    Args:
        images: The values of all metrics for each image, including those of
            ``mmspd.BlurSeverity``. ``None`` stands for an infinite number, as in a saved result. A
            saved result has no ``_patches``, so it has no grouping of patches.

    Returns:
        A dict from each grouping to its groups that are not empty. A group has ``name``, ``count``,
        the mean of every metric, ``<metric>-gain`` over ``<metric>-input`` and, if there are any,
        ``identical``, the number of images that equal their sharp images. Values that are not
        finite are excluded from the means.

    Examples:
        >>> from mmspd.evaluation.severity_report import group_by_severity
        >>> images = [{'PSNR': 33.0, 'PSNR-input': 30.5}, {'PSNR': 25.0, 'PSNR-input': 21.0}]
        >>> for group in group_by_severity(images)['input PSNR']:
        ...     print(group['name'], group['count'], group['PSNR-gain'])
        29-32 dB 1 2.5
        20-23 dB 1 4.0
    """
    groupings = images_by_severity([_with_gains(image) for image in images])
    patches = [_with_gains(patch) for image in images for patch in _patches_of(image)]
    groupings['patches by input PSNR'] = _sort(_by_input_psnr(patches), _PSNR_NAMES)
    return {
        grouping: [
            {'name': name, 'count': len(members), **_means(members)}
            for name, members in groups.items()
        ]
        for grouping, groups in groupings.items()
        if groups
    }


def images_by_severity(images: Sequence[Values]) -> Dict[str, Dict[str, List[Values]]]:
    """Sort images into the groups of :func:`group_by_severity`.

    Args:
        images: The values of all metrics for each image.

    Returns:
        A dict from each grouping to a dict from the names of its groups to their images.
    """
    recorded = ((image['severity'], image) for image in images if image.get('severity'))
    groupings = {
        'input PSNR': _sort(_by_input_psnr(images), _PSNR_NAMES),
        'blur extent': _sort(_by_extent(images), (*SEVERITIES, _UNKNOWN)),
        'record': _sort(recorded, SEVERITIES),
    }
    return {grouping: groups for grouping, groups in groupings.items() if groups}


def severity_table(groups: Groups, metric_info: Mapping[str, MetricInfo]) -> str:
    """Format groups as text, with one table per grouping.

    Args:
        groups: Groups of :func:`group_by_severity`.
        metric_info: Info of all metrics in the groups.

    Returns:
        The tables.
    """

    def text(name: str, value: Optional[float]) -> str:
        if value is None or isinstance(value, int):
            return '-' if value is None else str(value)
        # a gain that group_by_severity() computed has no info, so the info of its metric is used
        info = metric_info.get(name) or metric_info[name.removesuffix('-gain')]
        return info.text(value)

    tables = []
    for grouping, members in groups.items():
        names = list(dict.fromkeys(name for member in members for name in member))[1:]
        names.sort(key='identical'.__eq__)  # put it last
        rows = [
            [member['name'], *(text(name, member.get(name)) for name in names)]
            for member in members
        ]
        tables.append(text_table([grouping, *names], rows))
    return '\n\n'.join(tables)


def plot_severity(
    results: Dict[str, Groups],
    path: Union[str, Path],
    metric: str = 'PSNR-gain',
    info: MetricInfo = PSNR.info['PSNR-gain'],
) -> None:
    """Draw a metric by severity as bars, with one panel per grouping.

    Args:
        results: A dict from the label of each result to its groups of :func:`group_by_severity`.
            The bars of several results are drawn side by side.
        path: The PNG file to write.
        metric: Metric to draw.
        info: Info of the metric.

    Raises:
        UserError: No group has the metric, or the file cannot be written.
    """
    panels = [
        grouping
        for grouping in dict.fromkeys(name for groups in results.values() for name in groups)
        if any(
            metric in member for groups in results.values() for member in groups.get(grouping, ())
        )
    ]
    if not panels:
        raise UserError(f"No severity group has the metric '{metric}'; evaluate this metric too.")
    rows, columns = math.ceil(len(panels) / 2), min(len(panels), 2)
    crowded = len(results) > len(_COLORS)
    size = (5.5 * columns + (0.3 * len(results) + 2 if crowded else 0), 3.4 * rows + 0.4)
    figure = Figure(figsize=size, layout='constrained')
    for index, grouping in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        groups_of = {label: groups.get(grouping, []) for label, groups in results.items()}
        _draw(axes, groups_of, metric, info.digits)
        axes.set_title(grouping, fontsize=11)
        axes.set_ylabel(f'{metric} ({info.unit})' if info.unit else metric)
    if len(results) > 1:
        figure.legend(
            *figure.axes[0].get_legend_handles_labels(),
            loc='outside right upper' if crowded else 'outside upper center',
            ncols=1 if crowded else 3,
            frameon=False,
        )
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)
    write_bytes(path, content.getvalue())


def _draw(axes: Axes, results: Dict[str, List[Values]], metric: str, digits: int) -> None:
    """Draw the bars of one grouping."""
    names = list(dict.fromkeys(group['name'] for groups in results.values() for group in groups))
    width = 0.8 / len(results)
    for index, (label, groups) in enumerate(results.items()):
        drawn = [group for group in groups if metric in group]
        places = [names.index(group['name']) - 0.4 + width * (index + 0.5) for group in drawn]
        hatch, color = divmod(index, len(_COLORS))
        bars = axes.bar(
            places,
            [group[metric] for group in drawn],
            width,
            label=label,
            color=_COLORS[color],
            edgecolor='white' if hatch else None,
            hatch=_HATCHES[hatch % len(_HATCHES)],
        )
        if len(results) <= 2:
            axes.bar_label(bars, fmt=f'%.{digits}f', fontsize=8, padding=2)
    counts = {group['name']: group['count'] for groups in results.values() for group in groups}
    axes.set_xticks(
        range(len(names)), [f'{name}\nn = {counts[name]}' for name in names], fontsize=8
    )
    axes.axhline(0, color='black', linewidth=0.8)
    axes.spines[['top', 'right']].set_visible(False)
    axes.margins(y=0.12)


def _with_gains(values: Values) -> Values:
    """Add the gain of each metric that was also measured on the input."""
    gains = {
        f'{name}-gain': values[name] - values[f'{name}-input']
        for name in values
        if _is_finite(values[name]) and _is_finite(values.get(f'{name}-input'))
    }
    return {**values, **gains}


def _patches_of(image: Values) -> Iterable[Values]:
    """Convert the lists of patch values of an image to one dict per patch."""
    patches = image.get('_patches', {})
    return (dict(zip(patches, values)) for values in zip(*patches.values()))


def _by_input_psnr(images: Iterable[Values]) -> Iterable[Tuple[str, Values]]:
    """Yield the images as pairs: the name of the input-PSNR group, and the image."""
    for image in images:
        if 'PSNR-input' in image:
            value = math.inf if image['PSNR-input'] is None else image['PSNR-input']
            yield _PSNR_NAMES[sum(value < edge for edge in _PSNR_EDGES)], image


def _by_extent(images: Iterable[Values]) -> Iterable[Tuple[str, Values]]:
    """Yield the images as pairs: the name of the blur-extent group, and the image."""
    for image in images:
        if 'blur-extent' in image:
            extent = image['blur-extent']
            yield (_UNKNOWN if extent is None else severity_of(extent, image['size'])), image


def _sort(members: Iterable[Tuple[str, Values]], order: Iterable[str]) -> Dict[str, List[Values]]:
    """Sort the members into groups. The groups in ``order`` come first, in this order."""
    groups: Dict[str, List[Values]] = {name: [] for name in order}
    for name, member in members:
        groups.setdefault(name, []).append(member)
    return {name: group for name, group in groups.items() if group}


def _means(group: List[Values]) -> Values:
    """Average the finite values of each metric, and count the images that equal the sharp ones."""
    means = {}
    for name in dict.fromkeys(name for member in group for name in member):
        finite = [member[name] for member in group if _is_finite(member.get(name))]
        if finite:
            means[name] = float(np.mean(finite))
    identical = sum(not _is_finite(member.get('PSNR', 0)) for member in group)
    return {**means, 'identical': identical} if identical else means


def _is_finite(value: Any) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, Real) and math.isfinite(value)
