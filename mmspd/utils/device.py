"""Check and describe the devices of this machine."""

import platform
import re
from pathlib import Path
from typing import Any, Dict, Union

import torch
from mmengine.device import get_device, is_mps_available

from mmspd.errors import UsageError

__all__ = ['check_device', 'describe_machine', 'has_accelerator']


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
        processor=_processor(),
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


def _processor() -> str:
    """Return the name of the processor and its bfloat16 instruction sets."""
    cpuinfo = Path('/proc/cpuinfo')
    if not cpuinfo.is_file():
        return platform.processor() or platform.machine()
    text = cpuinfo.read_text()
    model = re.search(r'^model name\s*: (.*)', text, re.MULTILINE)
    name = model[1] if model else platform.machine()
    half = [flag for flag in ('avx512_bf16', 'amx_bf16') if re.search(rf'\b{flag}\b', text)]
    return f'{name} ({", ".join(half)})' if half else name
