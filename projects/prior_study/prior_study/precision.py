"""The number format behind ``optim_wrapper.dtype='auto'``, the same for all runs in a folder."""

import json
from pathlib import Path
from typing import Optional

import torch

from mmspd.errors import UserError
from mmspd.utils.device import computes_natively
from mmspd.utils.files import write_text

__all__ = ['PRECISION_NAME', 'read_dtype', 'settle_dtype']

PRECISION_NAME = 'precision.json'
_FORMATS = {'float32': None, 'bfloat16': 'bfloat16'}


def settle_dtype(results: Path, device: torch.device) -> Optional[str]:
    """Choose the number format of the runs, or return that of the earlier runs.

    The first start of a study records the format in the folder of the results. The study then keeps
    this format on every machine, because runs in different formats cannot be compared.

    Args:
        results: Folder of the study's results.
        device: Device of the runs. If it has bfloat16 instructions, a new study computes in
            bfloat16, and otherwise in float32.

    Returns:
        ``'bfloat16'``, or ``None`` for float32.

    Raises:
        UserError: The record is damaged.
    """
    file = results / PRECISION_NAME
    if not file.is_file():
        name = 'bfloat16' if computes_natively(device, 'bfloat16') else 'float32'
        write_text(file, json.dumps(dict(auto=name)) + '\n')
    return read_dtype(results)


def read_dtype(results: Path) -> Optional[str]:
    """Return the number format of the runs in a folder.

    Args:
        results: Folder of the study's results.

    Returns:
        ``'bfloat16'``, or ``None`` for float32 and for a folder without a record.

    Raises:
        UserError: The record is damaged.
    """
    file = results / PRECISION_NAME
    if not file.is_file():
        return None
    try:
        return _FORMATS[json.loads(file.read_text('utf-8'))['auto']]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f'\'{file}\' is damaged; write {{"auto": "bfloat16"}} or {{"auto": "float32"}} into '
            'it, the format in which the runs of this folder were trained.'
        ) from error
