"""The number formats in which a trained network can compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmspd.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ['PRECISIONS', 'autocast']

#: The names of the number formats.
PRECISIONS = ('float32', 'bfloat16', 'float16')


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return a context in which a network computes in a precision.

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

    return torch.autocast(device.type, getattr(torch, precision), enabled=precision != 'float32')
