"""Measuring time and memory so that ratios hold on a noisy machine."""

import inspect
import statistics
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence

import torch
from torch.profiler import ProfilerActivity, profile

__all__ = [
    'Spread',
    'allocated_peak',
    'paired_ratio',
    'summarize',
    'synchronise',
    'time_in_turns',
]


class Spread(NamedTuple):
    """The middle of some measurements and how far apart they lie.

    Attributes:
        median: Half of them are below.
        low: A quarter of them is below.
        high: A quarter of them is above.
    """

    median: float
    low: float
    high: float


def summarize(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles of one or more values."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method='inclusive')
    return Spread(median, low, high)


def paired_ratio(of: Sequence[float], to: Sequence[float]) -> Spread:
    """Return how many times as large one series is as another that was measured in turns with it.

    A machine that slows down for a while slows both halves of a pair, and leaves its ratio alone.
    """
    return summarize([one / other for one, other in zip(of, to)])


def synchronise(device: torch.device) -> None:
    """Wait until a device has done what it was told."""
    backend = getattr(torch, device.type)
    if hasattr(backend, 'synchronize'):
        takes_device = inspect.signature(backend.synchronize).parameters  # MPS has but one
        backend.synchronize(*([device] if takes_device else []))


def time_in_turns(
    functions: Mapping[str, Callable[[], Any]],
    device: torch.device,
    rounds: int = 10,
    warm_up: int = 2,
) -> Dict[str, List[float]]:
    """Time functions, one after the other in every round, so that all meet the same machine.

    Args:
        functions: What to call, by name.
        device: Where they compute.
        rounds: How often each is timed.
        warm_up: How often each is called before; compiling, allocating and tuning come then.

    Returns:
        Seconds of every call, by name, in the order of the rounds.
    """
    found: Dict[str, List[float]] = {name: [] for name in functions}
    for number in range(-warm_up, rounds):
        for name, function in functions.items():
            synchronise(device)
            start = time.perf_counter()
            function()
            synchronise(device)
            if number >= 0:
                found[name].append(time.perf_counter() - start)
    return found


def allocated_peak(function: Callable[[], Any], device: torch.device) -> int:
    """Return how much more memory PyTorch holds at most while a function runs than before it.

    What PyTorch's allocator has handed out is counted, to the byte, on the CPU as on CUDA; the
    working memory of oneDNN is not among it.

    Args:
        function: Called once for warming up and once for measuring.
        device: Where it computes.

    Returns:
        Bytes.
    """
    function()
    synchronise(device)
    backend = getattr(torch, device.type)
    if hasattr(backend, 'max_memory_allocated'):
        before = backend.memory_allocated(device)
        backend.reset_peak_memory_stats(device)
        function()
        synchronise(device)
        return backend.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as record:
        function()
    events = [event for event in record.profiler.kineto_results.events() if event.nbytes()]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak
