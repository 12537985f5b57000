"""Records of how severely the pairs of a data set are blurred."""

import json
from pathlib import Path
from typing import Dict

from mmspd.errors import UserError

__all__ = ['RECORDS_NAME', 'read_severities']

#: Written next to the sequences by ``tools/dataset_converters/synthesize_blur.py``.
RECORDS_NAME = 'records.jsonl'


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
