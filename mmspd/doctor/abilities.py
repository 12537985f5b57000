"""The abilities of a device: number formats, memory format and CUDA graphs."""

from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from mmengine.config import Config

from mmspd.doctor.report import Line, looked_at
from mmspd.doctor.speed import Setting, compared, speedup
from mmspd.engine.mixed_precision import use_mixed_precision
from mmspd.utils.device import computes_natively

__all__ = ['GAIN', 'ability_lines', 'amp_precision', 'capability_of']

#: A format is advised if it is at least this many times as fast.
GAIN = 1.1
_NEEDS_AMPERE = 'needs an NVIDIA GPU with compute capability 8.0 or more'


def amp_precision() -> str:
    """Return the precision in which ``mmspd train --amp`` computes on this machine."""
    return use_mixed_precision(Config(dict(optim_wrapper=dict())))


def capability_of(device: torch.device) -> Optional[Tuple[int, int]]:
    """Return the compute capability of an NVIDIA GPU.

    Args:
        device: The device.

    Returns:
        Major and minor number; None for other devices.
    """
    if torch.version.cuda is None:  # on AMD's GPUs, the numbers have another meaning
        return None
    read = getattr(getattr(torch, device.type), 'get_device_capability', None)
    capability = None if read is None else read(device)
    return capability if isinstance(capability, tuple) else None


def ability_lines(device: torch.device, advise: bool) -> List[Line]:
    """Describe the abilities of a device. A missing ability is no fault.

    Args:
        device: The device.
        advise: Whether to advise a precision, in the line of the precision of ``--amp``.

    Returns:
        A line for each ability.
    """
    checks: Dict[str, Callable[[torch.device], Line]] = {
        'bfloat16': lambda device: _precision(device, 'bfloat16', advise),
        'float16': lambda device: _precision(device, 'float16', advise),
        'TF32': _tf32,
        'channels-last': _channels_last,
        'CUDA graphs': _graphs,
    }
    lines = []
    for name, check in checks.items():

        def look(check: Callable[[torch.device], Line] = check) -> List[Line]:
            return [check(device)]

        lines += looked_at(name, 'compute without it', look, state='-')
    return [line._replace(name=f'  {line.name}') for line in lines]


def _precision(device: torch.device, precision: str, advise: bool) -> Line:
    native = computes_natively(device, precision)
    ratio = speedup(device, Setting(precision))
    kind, slow = 'native' if native else 'emulated', ratio < 1 / GAIN
    link = 'but' if native == slow else 'and'
    found = f'{kind}, {link} a convolution is {compared(ratio, "in float32")}'
    advice = ''
    if advise and precision == amp_precision():
        advice = _advice(device, precision, ratio, f'{precision} is {found}')
    return Line('ok' if native and not slow else '-', precision, found, advice=advice)


def _advice(device: torch.device, precision: str, ratio: float, reason: str) -> str:
    if ratio < 1 / GAIN:
        return f'Do not use --amp or --precision {precision} on {device}: {reason}.'
    if ratio < GAIN:
        return f'Use float32 on {device}: {reason}.'
    use = f'Use --amp and --precision {precision} on {device}'
    return f'{use}: {reason}. "mmspd doctor --train" measures training.'


def _tf32(device: torch.device) -> Line:
    capability = capability_of(device)
    if capability is None or capability < (8, 0):
        return Line('-', 'TF32', f'not available; it {_NEEDS_AMPERE}')
    ratio = speedup(device, Setting(tf32=True), Setting(tf32=False))
    used = 'used by the convolutions of training steps'
    return Line('ok', 'TF32', f'{used}; a convolution is {compared(ratio, "without TF32")}')


def _channels_last(device: torch.device) -> Line:
    precision = amp_precision()
    if not computes_natively(device, precision):
        precision = 'float32'
    ratio = speedup(device, Setting(precision, channels_last=True), Setting(precision))
    comparison = compared(ratio, 'in contiguous memory')
    return Line('ok', 'channels-last', f'a convolution in {precision} is {comparison}')


def _graphs(device: torch.device) -> Line:
    backend: Any = getattr(torch, device.type)
    if not hasattr(backend, 'CUDAGraph'):
        return Line('-', 'CUDA graphs', 'not available; they need a CUDA device')
    with backend.device(device):
        numbers = torch.ones(4, device=device)
        graph = backend.CUDAGraph()
        with backend.graph(graph):
            doubled = numbers * 2
        numbers.fill_(3)
        graph.replay()
        if doubled.tolist() != [6.0] * 4:
            raise ArithmeticError(f'The graph computed {doubled.tolist()} instead of 6.')
    return Line('ok', 'CUDA graphs', 'captured and replayed')
