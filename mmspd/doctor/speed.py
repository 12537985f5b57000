"""Compare the time of a convolution in two number formats or memory formats."""

import time
from typing import List, NamedTuple, Optional

import torch
from torch import nn

__all__ = ['Setting', 'compared', 'speedup']

_CHANNELS = 64
#: Largest number of rounds of a comparison, and the seconds after which no other round starts.
_ROUNDS, _LIMIT = 20, 1.0
#: Changes of a time of less than this share are not reported: times vary from run to run.
_NOISE = 0.05


class Setting(NamedTuple):
    """The format in which a convolution is computed.

    Attributes:
        precision: Number format.
        channels_last: Whether the memory format is channels-last.
        tf32: Whether cuDNN may compute in TF32; None for the setting of this process.
    """

    precision: str = 'float32'
    channels_last: bool = False
    tf32: Optional[bool] = None


_PLAIN = Setting()


def speedup(device: torch.device, changed: Setting, plain: Setting = _PLAIN) -> float:
    """Measure how much faster a 3x3 convolution is in another format.

    The measurements of the two formats alternate, and the fastest of each counts, so that other
    work on the machine hardly matters.

    Args:
        device: The device.
        changed: The format.
        plain: The format to compare with.

    Returns:
        The time in ``plain`` divided by the time in ``changed``.
    """
    pair = [_Convolution(device, setting) for setting in (plain, changed)]
    rounds: List[List[float]] = []
    while len(rounds) < _ROUNDS and sum(map(sum, rounds)) < _LIMIT:
        rounds.append([convolution.seconds() for convolution in pair])
    before, after = map(min, zip(*rounds))
    return before / after


class _Convolution:
    """A convolution with its input. An accelerator gets enough work to be busy."""

    def __init__(self, device: torch.device, setting: Setting) -> None:
        batch, side, self._repeats = (1, 64, 1) if device.type == 'cpu' else (8, 256, 10)
        channels_last = torch.channels_last if setting.channels_last else torch.contiguous_format
        form = dict(dtype=getattr(torch, setting.precision), memory_format=channels_last)
        self._layer = nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1).to(device).to(**form)
        self._input = torch.rand(batch, _CHANNELS, side, side, device=device).to(**form)
        self._tf32 = setting.tf32

    @torch.no_grad()
    def seconds(self) -> float:
        """Return the time of a round."""
        cudnn = torch.backends.cudnn
        tf32 = cudnn.allow_tf32 if self._tf32 is None else self._tf32
        with cudnn.flags(enabled=True, allow_tf32=tf32):
            start = time.perf_counter()
            for _ in range(self._repeats):
                result = self._layer(self._input)
            float(result[0, 0, 0, 0])  # waits for the device
            return time.perf_counter() - start


def compared(ratio: float, with_what: str) -> str:
    """Say how a speed compares with another one.

    Args:
        ratio: The speed divided by the other speed.
        with_what: Name of the other speed.

    Returns:
        A phrase such as ``'2.5 times as fast as in float32'``.

    Examples:
        >>> from mmspd.doctor.speed import compared
        >>> compared(0.4, 'in float32')
        '2.5 times slower than in float32'
        >>> compared(1.02, 'in float32')
        'as fast as in float32'
    """
    if ratio > 1 + _NOISE:
        return f'{ratio:.1f} times as fast as {with_what}'
    if ratio < 1 - _NOISE:
        return f'{1 / ratio:.1f} times slower than {with_what}'
    return f'as fast as {with_what}'
