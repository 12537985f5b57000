"""The memory that a process can get on a device, and what it holds."""

from pathlib import Path
from typing import Any, Optional

import psutil
import torch

__all__ = ['free_memory', 'held_memory']

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


def free_memory(device: torch.device, cgroups: Path = Path('/sys/fs/cgroup')) -> int:
    """Memory in bytes that a process can still get on a device.

    On the CPU, and on accelerators that share its memory, the limit of a container counts as well
    as the machine's memory.

    Args:
        device: the device.
        cgroups: where the system writes the limits of a container.
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
    """PyTorch's module for a device that has memory of its own; None where it shares the CPU's."""
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
