"""What a restorer gains on mild and on severe blur, as a table and as a plot."""

import io
import math
from numbers import Real
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmspd.errors import UserError
from mmspd.utils.files import write_bytes
from mmspd.utils.severity import SEVERITIES, severity_of
from mmspd.utils.tables import text_table

__all__ = ['group_by_severity', 'plot_severity', 'severity_table']

#: Groups by grouping: dicts of ``name``, ``count`` and the means of the metrics.
Groups = Dict[str, List[Dict[str, Any]]]

_PSNR_EDGES = (32, 29, 26, 23, 20)  # dB
_PSNR_NAMES = (
    f'>= {_PSNR_EDGES[0]} dB',
    *(f'{low}-{high} dB' for high, low in zip(_PSNR_EDGES, _PSNR_EDGES[1:])),
    f'< {_PSNR_EDGES[-1]} dB',
)
_UNKNOWN = 'unknown'
_COLORS = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00')  # Okabe and Ito
_HATCHES = ('', '//', '..')  # after each round of the colors


def group_by_severity(images: Sequence[Dict[str, Any]]) -> Groups:
    """Average the metrics over images of like severity.

    The groupings, each from mild to severe, and each left out where nothing is known of it:

    * ``input PSNR``: the PSNR of the blurry image, in steps of 3 dB.
    * ``blur extent``: the measured extent as a share of the image's size, see
      :data:`mmspd.utils.severity.SEVERITIES`; ``unknown`` where the pair does not show it.
    * ``record``: the severity that whoever made the blur wrote down.
    * ``patches by input PSNR``: parts of the images instead of images; of the metrics only PSNR.

    Args:
        images: The values of all metrics per image, those of ``mmspd.BlurSeverity`` among them.
            ``None`` stands for an infinite number, as in a saved result, which has no ``_patches``.

    Returns:
        By grouping the groups that hold any image: ``name``, ``count``, the mean of every metric,
        ``<metric>-gain`` over ``<metric>-input``, and ``identical``, where there are any: how many
        equal their sharp image. Values that are not finite are left out of the means.
    """
    images = [_with_gains(image) for image in images]
    patches = [_with_gains(patch) for image in images for patch in _patches_of(image)]
    found = {
        'input PSNR': _group(_by_input_psnr(images), _PSNR_NAMES),
        'blur extent': _group(_by_extent(images), (*SEVERITIES, _UNKNOWN)),
        'record': _group(
            ((image['severity'], image) for image in images if image.get('severity')), SEVERITIES
        ),
        'patches by input PSNR': _group(_by_input_psnr(patches), _PSNR_NAMES),
    }
    return {grouping: groups for grouping, groups in found.items() if groups}


def severity_table(groups: Groups) -> str:
    """Lay out groups as text, one table per grouping.

    Args:
        groups: From :func:`group_by_severity`.
    """
    tables = []
    for grouping, members in groups.items():
        names = list(dict.fromkeys(name for member in members for name in member))[1:]
        names.sort(key='identical'.__eq__)  # last
        rows = [
            [member['name'], *(_format(name, member.get(name)) for name in names)]
            for member in members
        ]
        tables.append(text_table([grouping, *names], rows))
    return '\n\n'.join(tables)


def plot_severity(
    results: Dict[str, Groups], path: Union[str, Path], metric: str = 'PSNR-gain'
) -> None:
    """Draw a metric by severity as bars, one panel per grouping.

    Args:
        results: Groups of :func:`group_by_severity` by the label of their result; several results
            stand side by side.
        path: The picture, PNG.
        metric: Its means are drawn.

    Raises:
        UserError: No group has the metric, or the picture cannot be written.
    """
    panels = [
        grouping
        for grouping in dict.fromkeys(name for groups in results.values() for name in groups)
        if any(
            metric in member for groups in results.values() for member in groups.get(grouping, ())
        )
    ]
    if not panels:
        raise UserError(f"no group by severity has a '{metric}' to draw: evaluate it as well")
    rows, columns = math.ceil(len(panels) / 2), min(len(panels), 2)
    crowded = len(results) > len(_COLORS)
    size = (5.5 * columns + (0.3 * len(results) + 2 if crowded else 0), 3.4 * rows + 0.4)
    figure = Figure(figsize=size, layout='constrained')
    for index, grouping in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        _draw(axes, {label: groups.get(grouping, []) for label, groups in results.items()}, metric)
        axes.set_title(grouping, fontsize=11)
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


def _draw(axes: Axes, results: Dict[str, List[Dict[str, Any]]], metric: str) -> None:
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
            axes.bar_label(bars, fmt='%.2f', fontsize=8, padding=2)
    counts = {group['name']: group['count'] for groups in results.values() for group in groups}
    axes.set_xticks(
        range(len(names)), [f'{name}\nn = {counts[name]}' for name in names], fontsize=8
    )
    axes.set_ylabel('PSNR gain (dB)' if metric == 'PSNR-gain' else metric)
    axes.axhline(0, color='black', linewidth=0.8)
    axes.spines[['top', 'right']].set_visible(False)
    axes.margins(y=0.12)


def _with_gains(values: Dict[str, Any]) -> Dict[str, Any]:
    """Add the gain of each metric that was measured on the input as well."""
    gains = {
        f'{name}-gain': values[name] - values[f'{name}-input']
        for name in values
        if _is_finite(values[name]) and _is_finite(values.get(f'{name}-input'))
    }
    return {**values, **gains}


def _patches_of(image: Dict[str, Any]) -> Iterable[Dict[str, float]]:
    """Turn the lists of an image's patches into dicts like an image's."""
    patches = image.get('_patches', {})
    return (dict(zip(patches, values)) for values in zip(*patches.values()))


def _by_input_psnr(images: Iterable[Dict[str, Any]]) -> Iterable[Tuple[str, Dict[str, Any]]]:
    """Name each image's group by input PSNR."""
    for image in images:
        if 'PSNR-input' in image:
            value = math.inf if image['PSNR-input'] is None else image['PSNR-input']
            yield _PSNR_NAMES[sum(value < edge for edge in _PSNR_EDGES)], image


def _by_extent(images: Iterable[Dict[str, Any]]) -> Iterable[Tuple[str, Dict[str, Any]]]:
    """Name each image's group by the extent of its blur."""
    for image in images:
        if 'blur-extent' in image:
            extent = image['blur-extent']
            yield (_UNKNOWN if extent is None else severity_of(extent, image['size'])), image


def _group(
    members: Iterable[Tuple[str, Dict[str, Any]]], order: Iterable[str]
) -> List[Dict[str, Any]]:
    """Average the members of each group, known groups in order and others behind them."""
    found: Dict[str, List[Dict[str, Any]]] = {name: [] for name in order}
    for name, member in members:
        found.setdefault(name, []).append(member)
    return [
        {'name': name, 'count': len(group), **_means(group)}
        for name, group in found.items()
        if group
    ]


def _means(group: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Average the finite values of each metric, and count the images without error."""
    means = {}
    for name in dict.fromkeys(name for member in group for name in member):
        finite = [member[name] for member in group if _is_finite(member.get(name))]
        if finite:
            means[name] = float(np.mean(finite))
    identical = sum(not _is_finite(member.get('PSNR', 0)) for member in group)
    return {**means, 'identical': identical} if identical else means


def _is_finite(value: Any) -> bool:
    """Tell whether a value is a number that can be averaged."""
    return isinstance(value, Real) and math.isfinite(value)


def _format(name: str, value: Optional[float]) -> str:
    """Write a number as its kind is usually written."""
    if value is None:
        return '-'
    if isinstance(value, int):
        return str(value)
    return f'{value:.{2 if name.startswith("PSNR") else 1 if name == "blur-extent" else 4}f}'
