"""The number formats in which a trained network can compute."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

from mmspd.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ['PRECISIONS', 'autocast', 'warn_if_slow']

#: The names of the number formats.
PRECISIONS = ('float32', 'bfloat16', 'float16')


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return a context in which a network computes in a precision.

    If the device has no instructions for the precision, a warning is logged once.

    The weights stay in float32; the context converts each weight once. The image also stays in
    float32. Most restorers add the image to the output of the last layer; this sum is in float32.

    Args:
        device: Device of the network.
        precision: One of :data:`PRECISIONS`. With ``'float32'``, the context does nothing.

    Returns:
        The context.

    Raises:
        UsageError: The precision is unknown.

    Examples:
        >>> import torch
        >>> from mmspd.utils.precision import autocast
        >>> network = torch.nn.Conv2d(3, 8, kernel_size=3)
        >>> with autocast(torch.device('cpu'), 'bfloat16'):
        ...     network(torch.zeros(1, 3, 16, 16)).dtype
        torch.bfloat16
    """
    if precision not in PRECISIONS:
        raise UsageError(f'precision={precision!r} is unknown; use {", ".join(PRECISIONS)}.')
    import torch  # slow to import

    warn_if_slow(device, precision)
    return torch.autocast(device.type, getattr(torch, precision), enabled=precision != 'float32')


@functools.cache
def warn_if_slow(device: torch.device, precision: str) -> None:
    """Log a warning if a device has no instructions for a precision.

    The warning is logged once for each device and precision.

    Args:
        device: Device of the network.
        precision: One of :data:`PRECISIONS`.
    """
    from mmengine.logging import print_log  # slow to import

    from mmspd.utils.device import computes_natively, processor

    if computes_natively(device, precision):
        return
    name = f'processor {processor()}' if device.type == 'cpu' else f"device '{device}'"
    print_log(
        f'The {name} has no {precision} instructions, so {precision} is slower than float32; '
        'compute in float32 unless memory is short.',
        'current',
        logging.WARNING,
    )
