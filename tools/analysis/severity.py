"""Measure the blur severity of each pair of a data set and save it as a record for training.

python tools/analysis/severity.py data/GOPRO_Large --split train --out data/gopro_severity.jsonl
"""

import argparse
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Union

from tqdm import tqdm

from mmspd.datasets.layouts import recognize
from mmspd.datasets.transforms.loading import LoadImagePair
from mmspd.errors import UsageError, UserError
from mmspd.registry import DATASETS
from mmspd.utils.cli import (
    add_pair_templates,
    output_file,
    run_main,
    usage_errors,
    zero_or_more,
)
from mmspd.utils.files import write_text
from mmspd.utils.launch import read_config
from mmspd.utils.parallel import map_in_processes
from mmspd.utils.psnr import psnr
from mmspd.utils.severity import SEVERITIES, measure_extent, severity_of, share_of
from mmspd.utils.skipped import one_line


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="To use the records, set records='FILE' in the dataset of a config, and set the "
        "sampler of the dataset's loader to mmspd.SeveritySampler. The images are not modified.",
    )
    parser.add_argument(
        'data',
        help='folder of an unpacked data set, or a config; for GoPro, the images in the folder '
        'blur are measured',
    )
    parser.add_argument(
        '--out', type=output_file, required=True, metavar='FILE', help='file to write, *.jsonl'
    )
    parser.add_argument(
        '--split',
        default='train',
        help='split of the folder, or loader of the config (default: train)',
    )
    add_pair_templates(parser)
    parser.add_argument(
        '--workers', type=zero_or_more, default=2, help='number of processes (default: 2)'
    )
    return parser.parse_args(argv)


def dataset_of(args: argparse.Namespace) -> Dict[str, Any]:
    """Return the config of the data set to measure.

    Args:
        args: The command line. For a config, the split ``train`` selects ``train_dataloader``, and
            so on.

    Returns:
        The config of the data set.

    Raises:
        UsageError: There is no data set of this split, or there are several.
    """
    data, split = args.data, args.split
    if data.endswith('.py'):
        loader = read_config(data, {}).get(f'{split}_dataloader')
        if not loader:
            raise UsageError(
                f"'{data}' has no {split}_dataloader; set --split to train, val or test."
            )
        dataset = loader['dataset']
        while 'dataset' in dataset:  # a wrapper such as RepeatDataset
            dataset = dataset['dataset']
        return dict(dataset, pipeline=[], records=None)
    parts = recognize(Path(data), args.blur_template, args.sharp_template)
    chosen = [
        part.dataset
        for part in parts
        if part.split in (split, '') and part.dataset.get('blur_key', 'blur') == 'blur'
    ]
    if len(chosen) != 1:
        names = ', '.join(sorted({repr(part.split) for part in parts}))
        raise UsageError(
            f"'{data}' holds {len(chosen)} data sets of the split '{split}' (existing splits: "
            f'{names}); '
            + ('give a config that reads one of them.' if chosen else 'choose another --split.')
        )
    return chosen[0]


def measure(info: Dict[str, Any]) -> Dict[str, Any]:
    """Measure the blur of a pair.

    Args:
        info: Description of the pair from ``get_data_info`` of the data set.

    Returns:
        A dict with ``key``, ``severity``, ``extent`` in pixels, the same extent as a ``share`` of
        sqrt(H * W), and the ``psnr`` of the blurry image in dB. ``severity``, ``extent`` and
        ``share`` are ``None`` if they cannot be measured. ``psnr`` is ``None`` if it is infinite.
    """
    pair = LoadImagePair()(dict(info))
    extent, size = measure_extent(pair['img'], pair['gt']), pair['gt'].shape[:2]
    ratio = psnr(pair['img'], pair['gt'])
    known = not math.isnan(extent)
    return dict(
        key=info['key'],
        severity=severity_of(extent, size) if known else None,
        extent=round(extent, 2) if known else None,
        share=round(share_of(extent, size), 4) if known else None,
        psnr=round(ratio, 3) if math.isfinite(ratio) else None,
    )


def measure_or_report(info: Dict[str, Any]) -> Union[Dict[str, Any], str]:
    """Measure the blur of a pair, or return the sentence about a bad file.

    Args:
        info: Description of the pair from ``get_data_info`` of the data set.

    Returns:
        The result of :func:`measure`, or the message of its error.
    """
    try:
        return measure(info)
    except UserError as error:
        return str(error)


def main(argv: List[str]) -> int:
    """Measure all pairs, write the records and print a summary.

    Args:
        argv: The command-line arguments.

    Returns:
        The exit code, 1 if a pair could not be measured, else 0.

    Raises:
        UsageError: An argument is invalid.
        UserError: No pair can be measured, or the file cannot be written.
    """
    args = parse_args(argv)
    with usage_errors():
        dataset = DATASETS.build(dataset_of(args))
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    measured = map_in_processes(measure_or_report, infos, args.workers)
    outcomes = list(tqdm(measured, total=len(infos), unit='pair'))
    records = [outcome for outcome in outcomes if not isinstance(outcome, str)]
    faults = [outcome for outcome in outcomes if isinstance(outcome, str)]
    if faults and not records:
        raise UserError(f'None of the {len(faults)} pairs can be measured. The first: {faults[0]}')
    write_text(args.out, ''.join(f'{json.dumps(record)}\n' for record in records))
    counts = Counter(record['severity'] for record in records)
    summary = [f'{counts[name]} {name}' for name in SEVERITIES] + [f'{counts[None]} unknown']
    print(f"The records of {len(records)} pairs are in '{args.out}': {', '.join(summary)}.")
    for fault in faults:
        print(f'Skipped: {one_line(fault)}')
    return int(bool(faults))


if __name__ == '__main__':
    run_main(main)
