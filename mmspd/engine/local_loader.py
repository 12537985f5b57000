"""Checkpoints on the disk: one that cannot be read ends in a sentence, under any Runner."""

from typing import Any, Optional

import torch
from mmengine.runner.checkpoint import CheckpointLoader, load_from_local

from mmspd.weights.torch_file import unreadable

__all__ = ['load_local']


def load_local(filename: str, map_location: Optional[Any] = None) -> Any:
    """Load a checkpoint as MMEngine does; it calls this for every path without a scheme.

    Args:
        filename: the file.
        map_location: as for ``torch.load``.

    Raises:
        UserError: the file is damaged, is no checkpoint, or could run code.
    """
    try:
        return load_from_local(filename, map_location)
    except (FileNotFoundError, MemoryError, torch.cuda.OutOfMemoryError):
        raise  # not the file's fault
    except Exception as error:  # torch raises a dozen types for a file that is no checkpoint
        raise unreadable(filename, 'checkpoint', error) from error


CheckpointLoader.register_scheme('', load_local, force=True)
