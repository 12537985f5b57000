"""The devices of this machine: which there are, and their names."""

import platform
import re
from pathlib import Path
from typing import Any, Dict, Union

import torch
from mmengine.device import get_device, is_mps_available

from mmspd.errors import UserError

__all__ = ['check_device', 'describe_machine', 'has_accelerator']


def has_accelerator() -> bool:
    """Whether there is something other than the CPU to train on."""
    return get_device() != 'cpu' and not is_mps_available()


def check_device(device: Union[str, torch.device]) -> torch.device:
    """Return a device that this machine has.

    Raises:
        UserError: there is no such device.
    """
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # the latter where PyTorch is built without it
        reason = str(error).splitlines()[0]
        raise UserError(
            f'the device {device} cannot be used here ({reason}): name another'
        ) from error


def describe_machine(device: torch.device) -> Dict[str, Any]:
    """Describe what measurements depend on: processor, threads, accelerator and versions."""
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
    """Name of the processor, with what it can do in half precision."""
    cpuinfo = Path('/proc/cpuinfo')
    if not cpuinfo.is_file():
        return platform.processor() or platform.machine()
    text = cpuinfo.read_text()
    model = re.search(r'^model name\s*: (.*)', text, re.MULTILINE)
    name = model[1] if model else platform.machine()
    half = [flag for flag in ('avx512_bf16', 'amx_bf16') if re.search(rf'\b{flag}\b', text)]
    return f'{name} ({", ".join(half)})' if half else name
