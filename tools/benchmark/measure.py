"""Measurements of time and memory, with ratios that are reliable on a busy machine."""

import time
from dataclasses import astuple, dataclass
from typing import Any, Callable, Dict, Hashable, List, Mapping, Sequence, TypeVar

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

Name = TypeVar('Name', bound=Hashable)


@dataclass(frozen=True)
class Spread:
    """The median and the quartiles of some measurements.

    Attributes:
        median: Median.
        low: Lower quartile.
        high: Upper quartile.
    """

    median: float
    low: float
    high: float

    def text(self, digits: int = 2, factor: float = 1) -> str:
        """Return ``median (low-high)`` as text.

        Args:
            digits: Number of decimals.
            factor: Factor to multiply the values with, such as 1e3 for milliseconds.
        """
        median, low, high = (f'{factor * value:.{digits}f}' for value in astuple(self))
        return f'{median} ({low}-{high})'


def summarize(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles of values.

    Args:
        values: One or more values.
    """
    return Spread(*np.percentile(values, (50, 25, 75)).tolist())


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Return the spread of the ratios of two series that were measured in turns.

    A temporary slowdown of the machine affects both values of a pair, but not their ratio.

    Args:
        numerators: Values of the first series.
        denominators: Values of the second series, in the same order.
    """
    return summarize([one / other for one, other in zip(numerators, denominators)])


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished its work.

    Args:
        device: Device. For the CPU, the function returns at once.
    """
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def clock_for(device: torch.device) -> Callable[[], float]:
    """Return the clock for the work on a device.

    For a CPU with a single thread, it is the processor time, which other programs change less than
    the elapsed time. With several threads or on a GPU, it is the elapsed time.

    Args:
        device: Device of the work.
    """
    alone = device.type == 'cpu' and torch.get_num_threads() == 1
    return time.process_time if alone else time.perf_counter


def time_in_turns(
    functions: Mapping[Name, Callable[[], Any]],
    device: torch.device,
    rounds: int = 10,
    warm_up: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> Dict[Name, List[float]]:
    """Time functions in turns, so that the load of the machine affects all of them equally.

    Args:
        functions: A dict from the name of each function to the function.
        device: Device of the functions.
        rounds: Timed calls of each function.
        warm_up: Untimed first calls of each function, for compilation, allocation and tuning.
        clock: Clock in seconds, such as that of :func:`clock_for`.

    Returns:
        A dict from the name of each function to the seconds of its calls, in order.
    """
    seconds: Dict[Name, List[float]] = {name: [] for name in functions}
    for number in range(-warm_up, rounds):
        for name, function in functions.items():
            synchronize(device)
            start = clock()
            function()
            synchronize(device)
            if number >= 0:
                seconds[name].append(clock() - start)
    return seconds


def allocated_peak(function: Callable[[], Any], device: torch.device) -> int:
    """Return the peak of the bytes that PyTorch allocates during a call of a function.

    Bytes that were allocated before the call and the working memory of oneDNN are not counted. The
    function is called twice; the first call is a warm-up.

    Args:
        function: Function to measure.
        device: Device of the function.
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
