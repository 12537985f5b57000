"""Keep the result of a test from being replaced by the result of another test."""

import json
from pathlib import Path
from typing import Any, Dict

from mmspd.errors import UserError
from mmspd.evaluation.results import RESULT_NAME, Result

__all__ = ['check_same_test']

#: Entries of the provenance that the user chooses, besides the checkpoint.
_CONDITIONS = ('protocol', 'metrics', 'dataset', 'self_ensemble', 'tiling', 'window', 'precision')


def check_same_test(folder: Path, provenance: Dict[str, Any]) -> None:
    """Check that a folder holds no result, or the result of the same test.

    Args:
        folder: The folder of the new result. It may be missing.
        provenance: The provenance of the new result.

    Raises:
        UserError: The folder holds the result of another test.
    """
    if not (folder / RESULT_NAME).exists():
        return
    new = _conditions(provenance)
    try:
        old = _conditions(Result.load(folder).provenance)
        different = [name for name in new if old[name] != new[name]]
    except UserError:
        different = ['version of mmspd']
    if different:
        raise UserError(
            f"'{folder}' holds the result of a test with another {different[0]}; write this result "
            'to another folder with --out, or delete that folder.'
        )


def _conditions(provenance: Dict[str, Any]) -> Dict[str, Any]:
    """Return the part of a provenance that is equal for repetitions of a test, as JSON values."""
    conditions = {name: provenance.get(name) for name in _CONDITIONS}
    conditions['checkpoint'] = (provenance.get('checkpoint') or {}).get('sha256')
    return json.loads(json.dumps(conditions))
