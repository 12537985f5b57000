"""Free and used memory of a process on a device."""

from pathlib import Path
from typing import Any, Optional

import psutil
import torch

__all__ = ['free_memory', 'held_memory']

# For each version of Linux control groups: the files with the memory limit, the memory in use and
# the statistics, and the key of the reclaimable file cache in the statistics. The first entry is
# for version 2, the second for version 1.
_CGROUPS = (
    ('memory.max', 'memory.current', 'memory.stat', 'inactive_file'),
    (
        'memory/memory.limit_in_bytes',
        'memory/memory.usage_in_bytes',
        'memory/memory.stat',
        'total_inactive_file',
    ),
)


def free_memory(device: torch.device, cgroups: Path = Path('/sys/fs/cgroup')) -> int:
    """Return the memory that a process can still allocate on a device.

    On the CPU, and on accelerators that share the memory of the CPU, the limit of a container
    counts too.

    Args:
        device: The device.
        cgroups: Folder where the system writes the limits of a container.

    Returns:
        Free memory in bytes.
    """
    backend = _own_memory(device)
    if backend is None:
        left = _left_in_container(cgroups)
        available = psutil.virtual_memory().available
        return available if left is None else min(available, left)
    # this process can use the memory that PyTorch has reserved but not allocated
    kept = backend.memory_reserved(device) - backend.memory_allocated(device)
    return backend.mem_get_info(device)[0] + kept


def held_memory(device: torch.device) -> int:
    """Return the memory that this process uses on a device.

    Args:
        device: The device.

    Returns:
        Used memory in bytes; on the CPU, the resident set size.
    """
    backend = _own_memory(device)
    if backend is None:
        return psutil.Process().memory_info().rss
    return backend.memory_allocated(device)


def _own_memory(device: torch.device) -> Optional[Any]:
    """Return the PyTorch module that reports a device's memory, such as ``torch.cuda``.

    The result is None for the CPU and for devices that share the memory of the CPU.
    """
    backend = getattr(torch, device.type)
    return backend if hasattr(backend, 'mem_get_info') else None


def _left_in_container(cgroups: Path) -> Optional[int]:
    """Return the free bytes below the limit of a container, or None if there is no limit."""
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
