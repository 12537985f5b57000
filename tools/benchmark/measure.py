"""Measuring time and memory so that ratios hold on a noisy machine."""

import time
from dataclasses import astuple, dataclass
from typing import Any, Callable, Dict, Hashable, List, Mapping, Sequence, TypeVar

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

Name = TypeVar('Name', bound=Hashable)


@dataclass(frozen=True)
class Spread:
    """The median of some measurements, and their lower and upper quartiles."""

    median: float
    low: float
    high: float

    def text(self, digits: int = 2, factor: float = 1) -> str:
        """Return ``median (low-high)``, each multiplied by a factor."""
        median, low, high = (f'{factor * value:.{digits}f}' for value in astuple(self))
        return f'{median} ({low}-{high})'


def summarize(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles of one or more values."""
    return Spread(*np.percentile(values, (50, 25, 75)).tolist())


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Return the ratio of two series that were measured in turns.

    A machine that slows down for a while slows both halves of a pair, and leaves its ratio alone.
    """
    return summarize([one / other for one, other in zip(numerators, denominators)])


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished its work."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def time_in_turns(
    functions: Mapping[Name, Callable[[], Any]],
    device: torch.device,
    rounds: int = 10,
    warm_up: int = 2,
) -> Dict[Name, List[float]]:
    """Time functions one after the other in every round, so that all meet the same machine.

    Args:
        functions: Functions by name.
        device: Where they compute.
        rounds: Timed calls of each.
        warm_up: Calls of each before the timed ones, for compiling, allocating and tuning.

    Returns:
        Seconds of every call, by name, in the order of the rounds.
    """
    seconds: Dict[Name, List[float]] = {name: [] for name in functions}
    for number in range(-warm_up, rounds):
        for name, function in functions.items():
            synchronize(device)
            start = time.perf_counter()
            function()
            synchronize(device)
            if number >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def allocated_peak(function: Callable[[], Any], device: torch.device) -> int:
    """Return the bytes that PyTorch allocates at most while a function runs, beside those before.

    PyTorch's allocator counts to the byte, on the CPU as on CUDA; the working memory of oneDNN is
    not included. The function is called twice, the first time to warm up.
    """
    function()
    if device.type == 'cuda':
        synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        function()
        synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as record:
        function()
    events = [event for event in record.profiler.kineto_results.events() if event.nbytes()]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak
