"""Check and describe the devices of this machine."""

import platform
import re
from pathlib import Path
from typing import Any, Dict, Set, Union

import torch
from mmengine.device import get_device, is_mps_available

from mmspd.errors import UsageError

__all__ = ['check_device', 'computes_natively', 'describe_machine', 'has_accelerator', 'processor']

_CPUINFO = Path('/proc/cpuinfo')
#: Flags of processors that compute in a number format, on x86 and ARM.
_INSTRUCTIONS = {
    'bfloat16': ('avx512_bf16', 'amx_bf16', 'bf16'),
    'float16': ('avx512_fp16', 'amx_fp16', 'asimdhp'),
}


def has_accelerator() -> bool:
    """Return whether there is an accelerator to train on. Apple's MPS does not count."""
    return get_device() != 'cpu' and not is_mps_available()


def check_device(device: Union[str, torch.device]) -> torch.device:
    """Check that this machine has a device, and return the device.

    Args:
        device: Device or its name, such as ``'cpu'`` or ``'cuda:1'``.

    Returns:
        The device, with its index if it has one.

    Raises:
        UsageError: This machine does not have the device.

    Examples:
        >>> from mmspd.utils.device import check_device
        >>> check_device('cpu')
        device(type='cpu')
    """
    try:
        found = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # AssertionError: no support in PyTorch
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"The device '{device}' cannot be used ({reason}); choose another device."
        ) from error
    if found.type == 'meta':
        raise UsageError("The device 'meta' has no values; choose another device.")
    return found


def computes_natively(device: torch.device, precision: str) -> bool:
    """Return whether a device has instructions for a number format.

    A device without such instructions converts the numbers from and to float32. This gives nearly
    the same results, but takes longer than float32.

    Args:
        device: The device. For a CPU, the flags of the processor in ``/proc/cpuinfo`` decide;
            without this file, the answer is False for all formats but float32.
        precision: One of :data:`~mmspd.utils.precision.PRECISIONS`. ``'tf32'`` counts as
            ``'float32'``, because devices without TF32 compute in float32.

    Returns:
        Whether the device has such instructions.

    Examples:
        >>> import torch
        >>> from mmspd.utils.device import computes_natively
        >>> computes_natively(torch.device('cpu'), 'float32')
        True
    """
    if precision in ('float32', 'tf32'):
        return True
    if device.type == 'cpu':
        return bool(_flags() & {*_INSTRUCTIONS[precision]})
    if precision == 'float16':
        return True
    # is_bf16_supported() of torch.cuda is also True for GPUs that emulate bfloat16; other backends
    # have no capability, or another form of it
    read = getattr(getattr(torch, device.type), 'get_device_capability', None)
    capability = None if read is None else read(device)
    return isinstance(capability, tuple) and capability[0] >= 8


def describe_machine(device: torch.device) -> Dict[str, Any]:
    """Describe the parts of this machine that affect measurements.

    Args:
        device: Device that the measurements use.

    Returns:
        A dict with the processor, threads, versions and, if ``device`` is an accelerator, its name.
        The dict can be written as JSON.
    """
    description: Dict[str, Any] = dict(
        device=device.type,
        processor=processor(),
        cores=torch.multiprocessing.cpu_count(),
        threads=torch.get_num_threads(),
        python=platform.python_version(),
        torch=torch.__version__,
    )
    backend = getattr(torch, device.type)
    if hasattr(backend, 'get_device_name'):
        description.update(
            accelerator=backend.get_device_name(device),
            cuda=torch.version.cuda,
            cudnn=torch.backends.cudnn.version(),
        )
    return description


def processor() -> str:
    """Name the processor.

    Returns:
        The name, with the instruction sets for bfloat16 and float16 in brackets.
    """
    match = re.search(r'^model name\s*: (.*)', _cpuinfo(), re.MULTILINE)
    name = match[1] if match else platform.processor() or platform.machine()
    half = [flag for flags in _INSTRUCTIONS.values() for flag in flags if flag in _flags()]
    return f'{name} ({", ".join(half)})' if half else name


def _flags() -> Set[str]:
    """Return the flags of the processor; an empty set if they are unknown."""
    match = re.search(r'^(?:flags|Features)\s*: (.*)', _cpuinfo(), re.MULTILINE)
    return set(match[1].split()) if match else set()


def _cpuinfo() -> str:
    return _CPUINFO.read_text() if _CPUINFO.is_file() else ''
