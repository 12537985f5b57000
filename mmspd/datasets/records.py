"""Read the recorded blur severities of a data set."""

from pathlib import Path
from typing import Dict

from mmspd.errors import UserError
from mmspd.utils.json_text import parse_json

__all__ = ['RECORDS_NAME', 'read_severities']

#: File that ``tools/dataset_converters/synthesize_blur.py`` writes next to the sequences.
RECORDS_NAME = 'records.jsonl'


def read_severities(path: Path) -> Dict[str, str]:
    """Read the severities from a file of records.

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
        return {record['key']: record['severity'] for record in records}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"Cannot read the records in '{path}'; make them again with "
            'mmspd data severity, or delete the file.'
        ) from error
