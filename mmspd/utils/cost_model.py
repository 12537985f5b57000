"""What a distributed training run costs, from the times of its parts."""

import math
from typing import NamedTuple, Sequence, Tuple

import numpy as np
from scipy.optimize import nnls

__all__ = ['Link', 'Step', 'buckets_of', 'epoch_steps', 'fit_link', 'ring_seconds', 'step_seconds']

#: Bytes of DistributedDataParallel's first bucket of gradients and of the others, by default.
FIRST_BUCKET, BUCKET = 1 << 20, 25 << 20


class Link(NamedTuple):
    """What joins the processes of a ring.

    Attributes:
        bandwidth: Bytes per second from each process to the next.
        latency: Seconds for one step around the ring, whatever its size.
    """

    bandwidth: float
    latency: float


class Step(NamedTuple):
    """The parts of a training step of one process.

    Attributes:
        compute: Seconds without any communication.
        backward: Seconds of it that are the backward pass.
        gradient: Bytes of the gradients.
        loading: Seconds in which this process's workers load its batch.
    """

    compute: float
    backward: float
    gradient: int
    loading: float


def buckets_of(gradient: int) -> int:
    """Number of all-reduces in which DistributedDataParallel sends its gradients, at most."""
    return 1 + math.ceil(max(0, gradient - FIRST_BUCKET) / BUCKET)


def ring_seconds(processes: int, size: int, link: Link, calls: int = 1) -> float:
    r"""Time of a ring all-reduce.

    .. math:: t = 2 (P - 1) \cdot calls \cdot latency + \frac{2 (P - 1)}{P} \frac{size}{bandwidth}

    Args:
        processes: P.
        size: Bytes that every process holds, in all calls together.
        link: What joins the processes; the slowest link of the ring counts.
        calls: Number of all-reduces.

    Returns:
        Seconds; 0 for one process.
    """
    steps = 2 * (processes - 1)
    return calls * steps * link.latency + steps / processes * size / link.bandwidth


def fit_link(measured: Sequence[Tuple[int, int, float]]) -> Link:
    """Find the link that explains measured all-reduces best, in relative terms.

    Args:
        measured: Processes, bytes and seconds of each; two sizes at least.

    Returns:
        Bandwidth and latency, neither negative; one that the times do not show is infinite or 0.
    """
    rows = [(2 * (p - 1) / t, 2 * (p - 1) / p * size / t) for p, size, t in measured]
    scale = np.array([1.0, 1e-9])  # both columns of one magnitude
    latency, per_byte = nnls(np.array(rows) * scale, np.ones(len(rows)))[0] * scale
    return Link(1 / per_byte if per_byte > 0 else math.inf, float(latency))


def step_seconds(step: Step, processes: int, link: Link, overlap: float) -> float:
    r"""Time of a training step of several processes.

    .. math:: t = max(compute + max(0, t_{ring} - overlap \cdot backward), loading)

    Args:
        step: The parts of one process's step.
        processes: How many take part.
        link: What joins them.
        overlap: Share of the backward pass, 0 to 1, behind which communication can hide.

    Returns:
        Seconds.
    """
    ring = ring_seconds(processes, step.gradient, link, buckets_of(step.gradient))
    return max(step.compute + max(0.0, ring - overlap * step.backward), step.loading)


def epoch_steps(pairs: int, batch: int, processes: int) -> int:
    """Steps of an epoch: every process has an equal share of the pairs, the last batch is kept."""
    return math.ceil(math.ceil(pairs / processes) / batch)
