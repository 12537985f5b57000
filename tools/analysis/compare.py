"""Compare results of tools/test.py image by image; the first is what the others are compared with.

python tools/analysis/compare.py PLAIN GUIDED --names plain guided --out work_dirs/plain_or_guided
"""

import argparse
import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import cv2
import numpy as np

from mmspd.datasets.image_io import read_rgb, write_png
from mmspd.errors import UserError
from mmspd.evaluation.comparison import check_comparable, compared_metrics
from mmspd.evaluation.comparison_report import (
    Comparison,
    compare_all,
    comparison_text,
    number_text,
    ranked_keys,
)
from mmspd.evaluation.paper_tables import measured_of, paper_table, table_with
from mmspd.evaluation.results import Result
from mmspd.evaluation.severity_report import plot_severity
from mmspd.utils.cli import run_main
from mmspd.utils.files import write_text
from mmspd.visualization.pictures import gain_window, picture_row, stack_rows

NUM_PICTURES = 4
#: Side of the crops as they are shown; those of small images are enlarged to about this.
SHOWN = 256


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'results', nargs='+', type=Path, help='result.json of tools/test.py, or its folder'
    )
    parser.add_argument('--names', nargs='+', help='what to call them; by default their recipes')
    parser.add_argument(
        '--metric', help='what severities and images are compared by (default: the first of all)'
    )
    parser.add_argument(
        '--paper-table',
        type=int,
        metavar='N',
        help="also print the paper's table 1, 2, 3 or 4 with the results in it; one result will do",
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FOLDER',
        help='write comparison.md, comparison.json, severity.png and pictures of the best and the '
        'worst images; these need results of tools/test.py --out',
    )
    return parser.parse_args(argv)


def load_results(paths: List[Path], names: Optional[List[str]]) -> Dict[str, Result]:
    """Read the results, by what to call them.

    Raises:
        UserError: One cannot be read, or two have the same name.
    """
    results = [Result.load(path) for path in paths]
    if names is None:
        names = [result.provenance['config']['recipe'] for result in results]
        if len(set(names)) < len(names):
            names = [f'{name} ({number})' for number, name in enumerate(names, 1)]
    if len(names) != len(paths) or len(set(names)) < len(names):
        raise UserError(
            f'--names needs {len(paths)} different names, one per result, not: {" ".join(names)}'
        )
    return dict(zip(names, results))


def choose_metric(wanted: Optional[str], results: Dict[str, Result]) -> str:
    """Return the wanted metric, or the first that all results have.

    Raises:
        UserError: They do not all have it.
    """
    metrics = compared_metrics(results)
    if wanted is not None and wanted not in metrics:
        raise UserError(f"--metric: the results have {', '.join(metrics)}, not '{wanted}'")
    return wanted or metrics[0]


def write_comparison(
    out: Path, text: str, results: Dict[str, Result], comparisons: List[Comparison], metric: str
) -> None:
    """Write the text, and the same numbers for programs."""
    write_text(out / 'comparison.md', text)
    content = dict(
        metric=metric,
        provenances={label: result.provenance for label, result in results.items()},
        against=next(iter(results)),
        comparisons=[
            dict(
                name=found.label,
                metrics=[difference._asdict() for difference in found.differences],
                severity={
                    grouping: {name: difference._asdict() for name, difference in groups.items()}
                    for grouping, groups in found.groups.items()
                },
                images=found.images,
            )
            for found in comparisons
        ],
    )
    write_text(out / 'comparison.json', json.dumps(content, indent=1, allow_nan=False) + '\n')


def find_pictures(paths: List[Path], results: Dict[str, Result]) -> Dict[str, Path]:
    """Find the folders of the restored images, by the names of the results.

    Raises:
        UserError: A result has none.
    """
    folders = {}
    for path, (label, result) in zip(paths, results.items()):
        if result.provenance['pictures'] is None:
            raise UserError(f'{label} has none, test it with --out FOLDER')
        folders[label] = (path if path.is_dir() else path.parent) / result.provenance['pictures']
        if not folders[label].is_dir():
            raise UserError(f"those of {label} are no longer in '{folders[label]}'")
    return folders


def write_pictures(
    out: Path,
    folders: Dict[str, Path],
    results: Dict[str, Result],
    comparison: Comparison,
    metric: str,
) -> List[Path]:
    """Draw the images where a result is best and worst against the first one.

    Args:
        out: Where to.
        folders: See :func:`find_pictures`.
        results: All results; each is a column.
        comparison: Of the result that the images are chosen by.
        metric: What they are chosen by.

    Returns:
        The files.

    Raises:
        UserError: An image cannot be read.
    """
    first, second = next(iter(results)), comparison.label
    ranked = ranked_keys(comparison, metric)
    count = min(NUM_PICTURES, len(ranked) // 2)
    files = []
    for title, keys, sides in (
        ('best', ranked[:count], (first, second)),
        ('worst', ranked[::-1][:count], (second, first)),
    ):
        rows = [picture_of(key, folders, results, sides, metric) for key in keys]
        if rows:
            files.append(out / f'{title}_{second.replace("/", "_")}.png')
            write_png(files[-1], stack_rows(rows))
    return files


def picture_of(
    key: str,
    folders: Dict[str, Path],
    results: Dict[str, Result],
    sides: Tuple[str, str],
    metric: str,
) -> np.ndarray:
    """Draw an image as a whole, and the part of it where one result gains most over another.

    Args:
        key: Of the image.
        folders: See :func:`find_pictures`.
        results: All results; each is a column between the blurry and the sharp image.
        sides: Names of the result that is gained over, and of the one that gains.
        metric: The captions hold its values of the whole image.

    Returns:
        RGB, uint8.

    Raises:
        UserError: An image cannot be read.
    """
    loser, winner = sides
    images = {label: image_of(result, key) for label, result in results.items()}
    files = images[loser]
    restored = {label: read_rgb(folder / f'{key}.png') for label, folder in folders.items()}
    blurry, sharp = (
        # a data set that has moved since leaves the restored images to look at
        read_rgb(files[name], convert=True) if Path(files[name]).is_file() else None
        for name in ('blurry', 'sharp')
    )
    columns = [(caption('blurry', files.get(f'{metric}-input'), metric), blurry)]
    for label, image in restored.items():
        columns.append((caption(label, images[label].get(metric), metric), image))
    columns.append(('sharp', sharp))
    columns = [(text, image) for text, image in columns if image is not None]
    height, width = restored[loser].shape[:2]
    side = min(SHOWN, max(min(height, width) // 2, 48), height, width)
    window = gain_window(restored[loser], restored[winner], sharp, side)
    factor = max(1, SHOWN // side)
    crops = [image[window].repeat(factor, 0).repeat(factor, 1) for _, image in columns]
    whole = overview(columns[0][1], window, side * factor)
    return picture_row([whole, *crops], [f'{key}, {metric}', *(text for text, _ in columns)])


def image_of(result: Result, key: str) -> Dict[str, Any]:
    """Return what a result holds of an image."""
    return next(image for image in result.images if image['key'] == key)


def overview(image: np.ndarray, window: Tuple[slice, slice], height: int) -> np.ndarray:
    """Reduce an image to a height and frame a window of it."""
    scale = height / image.shape[0]
    size = (round(image.shape[1] * scale), height)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    rows, columns = window
    corner = (round(columns.start * scale), round(rows.start * scale))
    opposite = (round(columns.stop * scale) - 1, round(rows.stop * scale) - 1)
    return cv2.rectangle(small, corner, opposite, (255, 220, 0), 2)


def caption(name: str, value: Optional[float], metric: str) -> str:
    """Write a column's name with its value, where it has one."""
    return name if value is None else f'{name} {number_text(value, metric)}'


def write_all_pictures(
    args: argparse.Namespace,
    results: Dict[str, Result],
    comparisons: List[Comparison],
    metric: str,
) -> None:
    """Plot the severities and draw the images of all comparisons, as far as there are any."""
    first = next(iter(results.values()))
    if first.severity:
        drawn = f'{metric}-gain' if f'{metric}-input' in first.images[0] else metric
        groups = {label: result.severity for label, result in results.items()}
        plot_severity(groups, args.out / 'severity.png', drawn)
    try:
        folders = find_pictures(args.results, results)
    except UserError as error:
        print(f'No pictures of images: {error}.')
        return
    for comparison in comparisons:
        write_pictures(args.out, folders, results, comparison, metric)


def paper_text(number: int, results: Dict[str, Result]) -> str:
    """Write a table of the paper with the results in it, and which of them it has no place for."""
    measured = {label: measured_of(label, result) for label, result in results.items()}
    table = table_with(number, [item for item in measured.values() if item]) + '\n'
    held = {row.dataset for row in paper_table(number)}
    left = [label for label, item in measured.items() if item is None or item.dataset not in held]
    if left:
        table += f'* Not on a whole test set of this table: {", ".join(left)}.\n'
    return table


def main(argv: List[str]) -> None:
    """Print the comparison, and write it if asked."""
    args = parse_args(argv)
    results = load_results(args.results, args.names)
    table = ''
    if args.paper_table is not None:
        table = paper_text(args.paper_table, results)
    if len(results) == 1:
        if not table or args.out is not None:
            raise UserError('give a second result to compare it with, or --paper-table alone')
        print(table)
        return
    check_comparable(results)
    metric = choose_metric(args.metric, results)
    comparisons = compare_all(results, metric)
    text = '\n'.join(filter(None, [comparison_text(results, comparisons, metric), table]))
    print(text)
    if args.out is not None:
        write_comparison(args.out, text, results, comparisons, metric)
        write_all_pictures(args, results, comparisons, metric)
        print(f'The comparison is in {args.out}.')


if __name__ == '__main__':
    run_main(main)
