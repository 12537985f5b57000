"""The number formats in which a trained network can compute."""

from __future__ import annotations

import functools
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Iterator

from mmspd.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ['DTYPES', 'PRECISIONS', 'autocast', 'compute_in', 'convolutions', 'warn_if_slow']

#: The names of the types of tensors.
DTYPES = ('float32', 'bfloat16', 'float16')
#: The names of the number formats. TF32 is float32 with a shorter mantissa in convolutions.
PRECISIONS = ('float32', 'tf32', 'bfloat16', 'float16')


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return a context in which a network computes in a precision.

    If the device has no instructions for the precision, a warning is logged once.

    The weights stay in float32; the context converts each weight once. The image also stays in
    float32. Most restorers add the image to the output of the last layer; this sum is in float32.

    Args:
        device: Device of the network.
        precision: One of :data:`PRECISIONS`. With ``'float32'`` and ``'tf32'``, the context does
            nothing.

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
    half = precision in ('bfloat16', 'float16')
    return torch.autocast(device.type, getattr(torch, precision) if half else None, enabled=half)


@contextmanager
def compute_in(device: torch.device, precision: str) -> Iterator[None]:
    """Let a network compute exactly in a precision inside a ``with`` block.

    This is :func:`autocast`, and in addition float32 convolutions use TF32 only if the precision is
    ``'tf32'``. PyTorch's default is TF32 on every device that has it.

    Args:
        device: Device of the network.
        precision: One of :data:`PRECISIONS`. On a device without TF32, ``'tf32'`` is ``'float32'``.

    Raises:
        UsageError: The precision is unknown.

    Examples:
        >>> import torch
        >>> from mmspd.utils.precision import compute_in
        >>> with compute_in(torch.device('cpu'), 'float32'):
        ...     torch.backends.cudnn.allow_tf32
        False
    """
    with autocast(device, precision), convolutions(tf32=precision == 'tf32'):
        yield


@contextmanager
def convolutions(*, tf32: bool) -> Iterator[None]:
    """Let float32 convolutions use TF32 or not inside a ``with`` block.

    PyTorch has one setting for the whole process, so other threads are affected too. The setting of
    matrix products does not change; PyTorch's default for them is float32.

    Args:
        tf32: Use TF32 on a device that has it.
    """
    from torch.backends import cudnn  # slow to import

    before = cudnn.allow_tf32
    cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        cudnn.allow_tf32 = before


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
