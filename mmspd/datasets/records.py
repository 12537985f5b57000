"""Read the recorded blur severities of a data set."""

import logging
from pathlib import Path
from typing import Dict

from mmengine.logging import print_log

from mmspd.errors import UserError
from mmspd.utils.json_text import parse_json

__all__ = ['RECORDS_NAME', 'read_severities']

#: File that ``tools/dataset_converters/synthesize_blur.py`` writes next to the sequences.
RECORDS_NAME = 'records.jsonl'


def read_severities(path: Path) -> Dict[str, str]:
    """Read the severities from a file of records.

    The names in the file are kept. Records with an ``extent`` but no ``share`` are older than the
    present ranges of :data:`mmspd.utils.severity.SEVERITIES`, so a warning is logged.

    Args:
        path: File with one JSON object per line, with at least ``key`` and ``severity``.

    Returns:
        A dict from the key of a pair to its severity.

    Raises:
        UserError: The file is missing or damaged.
    """
    if not path.is_file():
        raise UserError(f"The file records='{path}' does not exist; correct the path.")
    try:
        records = [parse_json(line) for line in path.read_text('utf-8').splitlines()]
        severities = {record['key']: record['severity'] for record in records}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"Cannot read the records in '{path}'; make them again with "
            'mmspd data severity, or delete the file.'
        ) from error
    if any('extent' in record and 'share' not in record for record in records):
        print_log(
            f"The severities in '{path}' were named by the ranges of an older mmspd (mild from "
            '0.8 %, moderate from 1.6 %, severe from 3.2 % of the image size) and are kept; to use '
            'the present ranges, measure the pairs with mmspd data severity and set records to its '
            'file.',
            'current',
            logging.WARNING,
        )
    return severities
