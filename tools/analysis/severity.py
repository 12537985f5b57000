"""Measure how severely the pairs of a data set are blurred, and record it for training.

python tools/analysis/severity.py data/GOPRO_Large --split train --out data/gopro_severity.jsonl
"""

import argparse
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List

from tqdm import tqdm

from mmspd.datasets.layouts import recognize
from mmspd.datasets.transforms.loading import LoadImagePair
from mmspd.errors import UserError
from mmspd.registry import DATASETS
from mmspd.utils.cli import run_main
from mmspd.utils.files import write_text
from mmspd.utils.launch import read_config
from mmspd.utils.parallel import map_in_processes
from mmspd.utils.psnr import psnr
from mmspd.utils.severity import SEVERITIES, measure_extent, severity_of


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="Set records='FILE' in the dataset of a config, and its sampler to "
        'mmspd.SeveritySampler; images are only read.',
    )
    parser.add_argument(
        'data', help='folder of a data set as unpacked (of GoPro, blur), or a config'
    )
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='*.jsonl')
    parser.add_argument(
        '--split', default='train', help="the folder's split, or the config's loader (train)"
    )
    parser.add_argument('--workers', type=int, default=2, help='processes (default: 2)')
    return parser.parse_args(argv)


def dataset_of(data: str, split: str) -> Dict[str, Any]:
    """Return the config of the dataset to measure.

    Raises:
        UserError: There is none of that split, or there are several.
    """
    if data.endswith('.py'):
        loader = read_config(data, {}).get(f'{split}_dataloader')
        if not loader:
            raise UserError(f"'{data}' has no {split}_dataloader: set --split train, val or test")
        dataset = loader['dataset']
        while 'dataset' in dataset:  # a repeating wrapper
            dataset = dataset['dataset']
        return dict(dataset, pipeline=[], records=None)
    parts = recognize(Path(data))
    chosen = [
        part.dataset
        for part in parts
        if part.split in (split, '') and part.dataset.get('blur_key', 'blur') == 'blur'
    ]
    if len(chosen) != 1:
        names = ', '.join(sorted({repr(part.split) for part in parts}))
        raise UserError(
            f"'{data}' holds {len(chosen)} data sets of the split '{split}' (its splits are "
            f'{names}): '
            + ('give a config that reads one of them' if chosen else 'choose another --split')
        )
    return chosen[0]


def measure(info: Dict[str, Any]) -> Dict[str, Any]:
    """Measure the blur of the pair that a dataset describes.

    Returns:
        ``key``, ``severity``, ``extent`` in pixels and ``psnr`` of the blurry image in dB. Severity
        and extent are ``None`` where the pair does not show them, ``psnr`` where it is infinite.
    """
    pair = LoadImagePair()(dict(info))
    extent = measure_extent(pair['img'], pair['gt'])
    ratio = psnr(pair['img'], pair['gt'])
    known = not math.isnan(extent)
    return dict(
        key=info['key'],
        severity=severity_of(extent, pair['gt'].shape[:2]) if known else None,
        extent=round(extent, 2) if known else None,
        psnr=round(ratio, 3) if math.isfinite(ratio) else None,
    )


def main(argv: List[str]) -> None:
    """Measure, write the records and say what they hold."""
    args = parse_args(argv)
    dataset = DATASETS.build(dataset_of(args.data, args.split))
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    measured = map_in_processes(measure, infos, args.workers)
    records = list(tqdm(measured, total=len(infos), unit='pair'))
    write_text(args.out, ''.join(f'{json.dumps(record)}\n' for record in records))
    counts = Counter(record['severity'] for record in records)
    summary = [f'{counts[name]} {name}' for name in SEVERITIES] + [f'{counts[None]} unknown']
    print(f"the records of {len(records)} pairs are in '{args.out}': {', '.join(summary)}")


if __name__ == '__main__':
    run_main(main)
