"""Make a result from evaluated metrics, and report it."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from mmspd.evaluation.metrics.base import ImageMetric, key_of
from mmspd.evaluation.paper_tables import beside_paper
from mmspd.evaluation.provenance import metric_info_of
from mmspd.evaluation.results import Result
from mmspd.evaluation.severity_report import group_by_severity, plot_severity, severity_table

__all__ = ['infos_of', 'make_result', 'save_result', 'with_paths']

PLOT_NAME = 'severity.png'


def infos_of(dataset: Any) -> List[Dict[str, Any]]:
    """Return the information about each image of a data set, without reading the images.

    Args:
        dataset: A data set.

    Returns:
        A dict for each image, or an empty list if the data set has no such information.
    """
    get_info = getattr(dataset, 'get_data_info', None)
    return [get_info(index) for index in range(len(dataset))] if get_info else []


def make_result(
    metrics: Sequence[Any],
    means: Mapping[str, float],
    infos: Sequence[Mapping[str, Any]],
    provenance: Dict[str, Any],
) -> Result:
    """Make the result of evaluated metrics.

    Args:
        metrics: Metrics of an evaluator, evaluated.
        means: A dict from names to means, as the evaluator returns it.
        infos: Information about each image; see :func:`with_paths`.
        provenance: Everything on which the numbers depend.

    Returns:
        The result.
    """
    images = _join(metrics)
    info = {
        name: each
        for name, each in metric_info_of(metrics).items()
        if name in means or (images and name in images[0])
    }
    numbers = {name: float(value) for name, value in means.items()}
    groups = group_by_severity(images)
    return Result(provenance, numbers, info, with_paths(images, infos), groups)


def save_result(result: Result, folder: Path, label: str) -> List[str]:
    """Save a result, with a plot by severity, and describe it.

    Args:
        result: The result.
        folder: The folder, created if it is missing.
        label: Label of the result in the plot.

    Returns:
        The table by severity and the comparison with the paper, if there are any.

    Raises:
        UserError: A file cannot be written.
    """
    result.save(folder)
    groups, texts = result.severity, []
    if groups:
        texts.append('Results by blur severity:\n' + severity_table(groups, result.metric_info))
    if any('PSNR-gain' in group for members in groups.values() for group in members):
        plot_severity({label: groups}, folder / PLOT_NAME)
    paper = beside_paper(result)
    if paper:
        texts.append('Comparison with the paper:\n' + paper)
    return texts


def _join(metrics: Sequence[Any]) -> List[Dict[str, Any]]:
    """Join the values of all metrics into one dict per image."""
    joined: List[Dict[str, Any]] = []
    for metric in metrics:
        if isinstance(metric, ImageMetric):
            joined = joined or [{} for _ in metric.per_image]
            for image, values in zip(joined, metric.per_image):
                image.update(values)
    return joined


def with_paths(
    images: Sequence[Mapping[str, Any]], infos: Sequence[Mapping[str, Any]]
) -> List[Dict[str, Any]]:
    """Drop values whose names start with ``_``, and add the paths of the files, if known.

    Args:
        images: The values of each image.
        infos: Information about each image: its ``key``, ``img_path`` (blurry) and ``gt_path``
            (sharp); and ``restored``, if a finished image was scored.

    Returns:
        The values with the paths.
    """
    by_key = {key_of(dict(info)): info for info in infos}
    named = []
    for image in images:
        values = {name: value for name, value in image.items() if not name.startswith('_')}
        info = by_key.get(image['key'], {})
        blurry, sharp = info.get('img_path', ''), info.get('gt_path', '')
        blurry = '' if blurry == sharp else blurry  # a synthesized blurry image has no file
        values.update(blurry=blurry, sharp=sharp)
        if 'restored' in info:
            values['restored'] = info['restored']
        named.append(values)
    return named
