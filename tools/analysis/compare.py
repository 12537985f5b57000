"""Compare results of tools/test.py or score.py with the first result, image by image.

python tools/analysis/compare.py PLAIN GUIDED --names plain guided --out work_dirs/plain_or_guided
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import cv2
import numpy as np

from mmspd.datasets.image_io import read_rgb, write_png
from mmspd.errors import UsageError, UserError
from mmspd.evaluation.comparison import better_and_worse, check_comparable, compared_metrics
from mmspd.evaluation.comparison_report import Comparison, compare_all, comparison_text
from mmspd.evaluation.contributions import TOLERANCE, check_published
from mmspd.evaluation.metrics import MetricInfo
from mmspd.evaluation.paper_tables import table_with
from mmspd.evaluation.results import Result
from mmspd.evaluation.severity_report import group_by_severity, plot_severity
from mmspd.utils.cli import output_folder, run_main, usage_errors
from mmspd.utils.files import write_text
from mmspd.utils.tables import text_table
from mmspd.visualization.pictures import gain_window, picture_row, stack_rows

NUM_PICTURES = 4
#: Metric of each kind of a published SSIM.
SSIM_OF = {'3-D': 'SSIM-matlab', '2-D': 'SSIM-2d'}
#: Side of the crops in a picture. Crops of small images are enlarged to about this size.
SHOWN = 256


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'results',
        nargs='+',
        type=Path,
        help='result.json files of mmspd test or score.py, or their folders',
    )
    parser.add_argument('--names', nargs='+', help='labels of the results (default: the recipes)')
    parser.add_argument(
        '--metric',
        help='metric for the tables by severity and by image (default: the first common metric)',
    )
    parser.add_argument(
        '--paper-table',
        type=int,
        metavar='N',
        help="also print the paper's table 1, 2, 3 or 4 with the results; they may be of different "
        'test sets, and one result is enough',
    )
    parser.add_argument(
        '--published',
        metavar='NAME',
        help='compare one result of published weights with their published values, and fail if the '
        f'PSNR differs by more than {TOLERANCE} dB; NAME is a name of mmspd weights list, or '
        'official',
    )
    parser.add_argument(
        '--out',
        type=output_folder,
        metavar='FOLDER',
        help='folder for comparison.md, comparison.json, severity.png, and pictures of the best '
        'and worst images; for pictures, run mmspd test with --out',
    )
    return parser.parse_args(argv)


def load_results(paths: List[Path], names: Optional[List[str]]) -> Dict[str, Result]:
    """Load the results.

    Args:
        paths: Files or folders of the results.
        names: Labels of the results. With None, the labels are the names of the recipes.

    Returns:
        A dict from each label to its result.

    Raises:
        UsageError: A result cannot be loaded, or the labels are not unique.
    """
    results = [Result.load(path) for path in paths]
    if names is None:
        names = [result.provenance['config']['recipe'] for result in results]
        if len(set(names)) < len(names):
            names = [f'{name} ({number})' for number, name in enumerate(names, 1)]
    if len(names) != len(paths) or len(set(names)) < len(names):
        raise UsageError(
            f'--names needs {len(paths)} different names, not {" ".join(map(repr, names))}; give '
            'one name per result.'
        )
    return dict(zip(names, results))


def published_text(result: Result, name: str) -> str:
    """Compare a result of published weights with the published values.

    Args:
        result: The result.
        name: Name of the weights, or ``'official'``.

    Returns:
        A table and a sentence.

    Raises:
        UserError: The result is no complete evidence, or the PSNR differs.
    """
    score = check_published(result, name)
    published = {'PSNR': score.psnr}
    if score.ssim is not None and score.ssim_kind in SSIM_OF:
        published[SSIM_OF[score.ssim_kind]] = score.ssim
    rows = []
    for metric in published.keys() & result.metrics.keys():
        info, value, other = MetricInfo(True, 4), result.metrics[metric], published[metric]
        rows.append((metric, info.text(value), info.text(other), info.text(value - other, '+')))
    recipe = result.provenance['config']['recipe']
    header = (f'{recipe} on {score.dataset}', 'measured', 'published', 'difference')
    return (
        f'{text_table(header, sorted(rows))}\n\nThe PSNR agrees with the published one within '
        f'{TOLERANCE} dB.'
    )


def choose_metric(name: Optional[str], results: Dict[str, Result]) -> str:
    """Choose the metric for the tables by severity and by image.

    Args:
        name: Name of the metric. With None, the first metric that all results have is used.
        results: A dict from each label to its result.

    Returns:
        The name of the metric.

    Raises:
        UsageError: A result does not have the metric.
    """
    metrics = compared_metrics(results)
    if name is not None and name not in metrics:
        raise UsageError(
            f"--metric '{name}' is not in all results; choose from {', '.join(metrics)}."
        )
    return name or metrics[0]


def write_comparison(
    out: Path, text: str, results: Dict[str, Result], comparisons: List[Comparison], metric: str
) -> None:
    """Write the comparison as Markdown and as JSON.

    Args:
        out: Folder for both files.
        text: The comparison as Markdown.
        results: A dict from each label to its result.
        comparisons: The comparisons with the first result.
        metric: Metric for the tables by severity and by image.

    Raises:
        UsageError: A file cannot be written.
    """
    write_text(out / 'comparison.md', text)
    content = dict(
        metric=metric,
        provenances={label: result.provenance for label, result in results.items()},
        against=next(iter(results)),
        comparisons=[asdict(comparison) for comparison in comparisons],
    )
    write_text(out / 'comparison.json', json.dumps(content, indent=1, allow_nan=False) + '\n')


def plot_severities(out: Path, results: Dict[str, Result], metric: str) -> None:
    """Plot the gain of each result at each severity.

    Args:
        out: Folder for the plot.
        results: A dict from each label to its result.
        metric: The metric. If it was not measured on the inputs, its value is plotted instead of
            its gain.

    Raises:
        UsageError: The plot cannot be written.
    """
    first = next(iter(results.values()))
    if first.severity:
        drawn = f'{metric}-gain' if f'{metric}-input' in first.images[0] else metric
        # regroup the images: the stored groups of an older result may have other ranges
        groups = {
            label: {**result.severity, **group_by_severity(result.images)}
            for label, result in results.items()
        }
        plot_severity(groups, out / 'severity.png', drawn, first.metric_info[metric])


def find_pictures(paths: List[Path], results: Dict[str, Result]) -> Dict[str, Path]:
    """Find the folders of the restored images. If one is missing, print a message.

    Args:
        paths: Files or folders of the results.
        results: A dict from each label to its result.

    Returns:
        A dict from each label to its folder, or an empty dict if a folder is missing.
    """
    folders = {}
    for path, (label, result) in zip(paths, results.items()):
        name = result.provenance['pictures']
        if name is None:
            print(
                f'Pictures are skipped because {label} has no images; repeat its test with --out '
                'FOLDER.'
            )
            return {}
        folders[label] = (path if path.is_dir() else path.parent) / name
        if not folders[label].is_dir():
            print(
                f"Pictures are skipped because '{folders[label]}' with the images of {label} is "
                'missing; repeat its test with --out FOLDER.'
            )
            return {}
    return folders


def write_pictures(
    out: Path,
    folders: Dict[str, Path],
    results: Dict[str, Result],
    comparison: Comparison,
    metric: str,
) -> None:
    """Draw the images with the largest gains and the largest losses relative to the first result.

    Args:
        out: Folder for the pictures.
        folders: A dict from each label to the folder of the restored images.
        results: A dict from each label to its result.
        comparison: Comparison of a result with the first result.
        metric: Metric for the captions.

    Raises:
        UsageError: A picture cannot be written.
    """
    first, second = next(iter(results)), comparison.name
    better, worse = better_and_worse(results[first], results[second], metric)
    for title, keys, loser, winner in (
        ('best', better, first, second),
        ('worst', worse, second, first),
    ):
        shown = keys[:NUM_PICTURES]
        rows = [picture_of(key, folders, results, loser, winner, metric) for key in shown]
        if rows:
            write_png(out / f'{title}_{second.replace("/", "_")}.png', stack_rows(rows))


def picture_of(
    key: str,
    folders: Dict[str, Path],
    results: Dict[str, Result],
    loser: str,
    winner: str,
    metric: str,
) -> np.ndarray:
    """Draw an image, and one crop of it from each result: where ``winner`` gains most.

    Args:
        key: Key of the image.
        folders: A dict from each label to the folder of the restored images.
        results: A dict from each label to its result. The crops of the results are drawn between
            the crops of the blurry and the sharp image.
        loser: Label of the worse result.
        winner: Label of the better result.
        metric: Metric for the captions. A caption has the value for the whole image.

    Returns:
        RGB, uint8, shape (H, W, 3).
    """
    info = results[loser].metric_info[metric]

    def caption(name: str, value: Optional[float]) -> str:
        return name if value is None else f'{name} {info.text(value)}'

    restored, columns = {}, []
    for label, result in results.items():
        values = next(image for image in result.images if image['key'] == key)
        # the names of finished images may differ from those of tools/test.py
        file = folders[label] / values.get('restored', f'{key}.png')
        restored[label] = read_rgb(file, convert=True)
        columns.append((caption(label, values.get(metric)), restored[label]))
    # if the data set has been moved, only the restored images are drawn
    pair = {
        name: read_rgb(values[name], convert=True)
        for name in ('blurry', 'sharp')
        if Path(values[name]).is_file()
    }
    if 'blurry' in pair:
        columns.insert(0, (caption('blurry', values.get(f'{metric}-input')), pair['blurry']))
    if 'sharp' in pair:
        columns.append(('sharp', pair['sharp']))
    height, width = restored[loser].shape[:2]
    side = min(SHOWN, max(min(height, width) // 2, 48), height, width)
    window = gain_window(restored[loser], restored[winner], pair.get('sharp'), side)
    factor = max(1, SHOWN // side)
    crops = [image[window].repeat(factor, 0).repeat(factor, 1) for _, image in columns]
    whole = overview(columns[0][1], window, side * factor)
    return picture_row([whole, *crops], [f'{key}, {metric}', *(text for text, _ in columns)])


def overview(image: np.ndarray, window: Tuple[slice, slice], height: int) -> np.ndarray:
    """Resize an image to a height and draw a frame around a window.

    Args:
        image: RGB, uint8, shape (H, W, 3).
        window: Rows and columns of the window.
        height: Height of the result.

    Returns:
        RGB, uint8.
    """
    scale = height / image.shape[0]
    size = (round(image.shape[1] * scale), height)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    rows, columns = window
    corner = (round(columns.start * scale), round(rows.start * scale))
    opposite = (round(columns.stop * scale) - 1, round(rows.stop * scale) - 1)
    return cv2.rectangle(small, corner, opposite, (255, 220, 0), 2)


def main(argv: List[str]) -> None:
    """Print a comparison and, with ``--out``, write it.

    Args:
        argv: The command-line arguments.

    Raises:
        UsageError: An argument is invalid, or the results cannot be compared.
        UserError: A result does not agree with the published values.
    """
    args = parse_args(argv)
    with usage_errors():
        results = load_results(args.results, args.names)
    if args.published is not None:
        if len(results) > 1 or args.out is not None:
            raise UsageError(
                '--published takes one result and no --out; compare others without it.'
            )
        print(published_text(next(iter(results.values())), args.published))
        return
    table = ''
    if args.paper_table is not None:
        with usage_errors():
            table = table_with(args.paper_table, results) + '\n'
    if len(results) == 1:
        if not table or args.out is not None:
            raise UsageError(
                'There is only one result; add a second result, or use --published, or '
                '--paper-table without --out.'
            )
        print(table)
        return
    if table and args.out is None and args.metric is None:
        try:
            check_comparable(results)
        except UserError as error:  # a table may have results of several tests
            print(f'{table}\nThe results are not compared image by image. {error}')
            return
    with usage_errors():
        check_comparable(results)
        metric = choose_metric(args.metric, results)
    comparisons = compare_all(results, metric)
    text = '\n'.join(filter(None, [comparison_text(results, comparisons, metric), table]))
    print(text)
    if args.out is not None:
        write_comparison(args.out, text, results, comparisons, metric)
        plot_severities(args.out, results, metric)
        folders = find_pictures(args.results, results)
        for comparison in comparisons if folders else ():
            write_pictures(args.out, folders, results, comparison, metric)
        print(f'The comparison is in {args.out}.')


if __name__ == '__main__':
    run_main(main)
