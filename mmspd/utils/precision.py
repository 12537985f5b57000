"""The number formats that a trained network can compute in."""

import torch

from mmspd.errors import UserError

__all__ = ['PRECISIONS', 'autocast']

PRECISIONS = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which a network computes in a precision.

    The weights stay in float32 and are converted once within the context. Sums with the image,
    which is float32 and which restorers add their last layer to, stay in float32 as well.

    Args:
        device: where the network is.
        precision: a key of :data:`PRECISIONS`.

    Raises:
        UserError: the precision is unknown.
    """
    if precision not in PRECISIONS:
        raise UserError(f'precision={precision!r} is unknown; use {", ".join(PRECISIONS)}.')
    return torch.autocast(device.type, PRECISIONS[precision], enabled=precision != 'float32')
