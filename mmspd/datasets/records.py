"""Records of how severely the pairs of a data set are blurred."""

import json
import math
from pathlib import Path
from typing import Any, Dict, Iterator

from mmengine.dataset import BaseDataset

from mmspd.datasets.transforms.loading import LoadImagePair
from mmspd.errors import UserError
from mmspd.utils.parallel import map_in_processes
from mmspd.utils.severity import measure_severity, severity_of

__all__ = ['measure_records', 'read_severities']


def read_severities(path: Path) -> Dict[str, str]:
    """Read the severity by key from records, a JSON object per line.

    Raises:
        UserError: The file is missing or damaged.
    """
    if not path.is_file():
        raise UserError(f"the file of records '{path}' does not exist: correct records")
    try:
        records = [json.loads(line) for line in path.read_text('utf-8').splitlines()]
        return {record['key']: record['severity'] for record in records}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"cannot read the records in '{path}': make them again with "
            'tools/analysis/severity.py, or delete the file'
        ) from error


def measure_records(dataset: BaseDataset, workers: int) -> Iterator[Dict[str, Any]]:
    """Measure the blur of every pair of a dataset, in its order.

    Args:
        dataset: One of the paired datasets; its pipeline is not used.
        workers: Processes that work at the same time; 0 is this one.

    Yields:
        ``key``, ``severity``, ``extent`` in pixels and ``psnr`` of the blurry image in dB. Severity
        and extent are ``None`` where the pair does not show them, ``psnr`` where it is infinite.

    Raises:
        UserError: An image cannot be read.
    """
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return map_in_processes(_measure, infos, workers)


def _measure(info: Dict[str, Any]) -> Dict[str, Any]:
    """Measure the blur of the pair that a dataset describes."""
    pair = LoadImagePair()(dict(info))
    psnr, extent = measure_severity(pair['img'], pair['gt'])
    known = not math.isnan(extent)
    return dict(
        key=info['key'],
        severity=severity_of(extent, pair['gt'].shape[:2]) if known else None,
        extent=round(extent, 2) if known else None,
        psnr=round(psnr, 3) if math.isfinite(psnr) else None,
    )
