"""The devices of this machine: which there are, their memory, and their names."""

import platform
from pathlib import Path
from typing import Any, Dict, Optional, Union

import psutil
import torch
from mmengine import device as mmengine_device

from mmspd.errors import UserError

__all__ = ['check_device', 'describe_machine', 'free_memory', 'has_accelerator', 'held_memory']

# limit, use, statistics and the name there of reclaimable file cache: control groups 2, then 1
_CGROUPS = (
    ('memory.max', 'memory.current', 'memory.stat', 'inactive_file'),
    (
        'memory/memory.limit_in_bytes',
        'memory/memory.usage_in_bytes',
        'memory/memory.stat',
        'total_inactive_file',
    ),
)


def has_accelerator() -> bool:
    """Tell whether MMEngine can train on something other than the CPU here."""
    return (
        mmengine_device.is_cuda_available()
        or mmengine_device.is_npu_available()
        or mmengine_device.is_mlu_available()
        or mmengine_device.is_musa_available()
    )


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


def free_memory(device: torch.device, cgroups: Path = Path('/sys/fs/cgroup')) -> int:
    """Memory in bytes that a process can still get on a device.

    On the CPU, and on accelerators that share its memory, the limit of a container counts as well
    as the machine's memory.

    Args:
        device: the device.
        cgroups: where the system tells the limits of a container.
    """
    backend = _own_memory(device)
    if backend is None:
        left = _left_in_container(cgroups)
        available = psutil.virtual_memory().available
        return available if left is None else min(available, left)
    # what PyTorch keeps for later is free for this process
    kept = backend.memory_reserved(device) - backend.memory_allocated(device)
    return backend.mem_get_info(device)[0] + kept


def held_memory(device: torch.device) -> int:
    """Memory in bytes that this process holds on a device: its resident set on the CPU."""
    backend = _own_memory(device)
    if backend is None:
        return psutil.Process().memory_info().rss
    return backend.memory_allocated(device)


def _own_memory(device: torch.device) -> Optional[Any]:
    """The module of PyTorch that tells of a device's own memory; None where it shares the CPU's."""
    backend = getattr(torch, device.type)
    return backend if hasattr(backend, 'mem_get_info') else None


def _left_in_container(cgroups: Path) -> Optional[int]:
    """What is left of a container's limit; None where there is none."""
    for limit, used, statistics, cache in _CGROUPS:
        if not (cgroups / limit).is_file():
            continue
        text = (cgroups / limit).read_text().strip()
        if text == 'max':
            return None
        lines = (line.split() for line in (cgroups / statistics).read_text().splitlines())
        reclaimable = int(dict(lines)[cache])
        return int(text) - int((cgroups / used).read_text()) + reclaimable
    return None


def describe_machine(device: torch.device) -> Dict[str, Any]:
    """Describe what measurements depend on: processor, threads, accelerator and versions."""
    found: Dict[str, Any] = dict(
        device=device.type,
        processor=_processor(),
        cores=torch.multiprocessing.cpu_count(),
        threads=torch.get_num_threads(),
        python=platform.python_version(),
        torch=torch.__version__,
    )
    backend = getattr(torch, device.type)
    if hasattr(backend, 'get_device_name'):
        found.update(
            accelerator=backend.get_device_name(device),
            cuda=torch.version.cuda,
            cudnn=torch.backends.cudnn.version(),
        )
    return found


def _processor() -> str:
    """Name of the processor, with what it can do in half precision."""
    cpuinfo = Path('/proc/cpuinfo')
    if not cpuinfo.is_file():
        return platform.processor() or platform.machine()
    fields = dict(
        (part.strip() for part in line.split(':', 1))
        for line in cpuinfo.read_text().splitlines()
        if ':' in line
    )
    name = fields.get('model name', platform.machine())
    half = [flag for flag in ('avx512_bf16', 'amx_bf16') if flag in fields.get('flags', '').split()]
    return f'{name} ({", ".join(half)})' if half else name
