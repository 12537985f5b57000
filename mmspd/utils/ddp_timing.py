"""Timing the steps of distributed training, of several numbers of processes in the same run."""

import time
from contextlib import nullcontext
from functools import partial
from typing import Any, Callable, Dict, List, Sequence, Tuple
from unittest import mock

import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from torch import distributed

from mmspd.utils.measure import summarise, synchronise
from mmspd.utils.training import build_training

__all__ = ['time_processes']

WARM_UP = 2
#: Bytes of the smallest all-reduce that is timed; it shows the latency.
SMALL = 1 << 16


def time_processes(
    config: Config,
    batch: Dict[str, Any],
    device: torch.device,
    counts: Sequence[int],
    rounds: int,
) -> Tuple[int, Dict[int, Dict[str, Any]]]:
    """Time the training steps of the first 1, 2, ... processes of the default group, in turns.

    Every process of the group calls it; while some of them work, the others wait.

    Args:
        config: of a runner.
        batch: of every process, as a DataLoader hands it over.
        device: of this process.
        counts: numbers of processes.
        rounds: how often each is timed.

    Returns:
        Bytes of the gradients, and seconds by number of processes, each the median over the rounds
        of the slowest process: of a ``step``; of its ``compute``, all at once but without
        the exchange of gradients; of the ``backward`` pass in that; and of ``all_reduce``, by
        bytes.
    """
    rank = distributed.get_rank()
    cases: Dict[int, _Process] = {}
    for count in counts:
        group = distributed.new_group(list(range(count)))  # of all, also of those outside it
        if rank < count:
            cases[count] = _Process(config, batch, device, group)
    mine: Dict[int, List[Dict[Any, float]]] = {count: [] for count in cases}
    for number in range(-WARM_UP, rounds):
        for count in counts:
            distributed.barrier()
            if count in cases:
                turn = cases[count].turn()
                if number >= 0:
                    mine[count].append(turn)
    everyone: List[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyone, mine)
    found = {count: _slowest([each[count] for each in everyone[:count]]) for count in counts}
    return cases[min(cases)].gradient if cases else 0, found


def _slowest(ranks: List[List[Dict[Any, float]]]) -> Dict[str, Any]:
    """Medians over the turns of what the slowest process took."""
    medians = {
        name: summarise([max(rank[name] for rank in turn) for turn in zip(*ranks)]).median
        for name in ranks[0][0]
    }
    named = {name: value for name, value in medians.items() if isinstance(name, str)}
    sizes = {name: value for name, value in medians.items() if isinstance(name, int)}
    return dict(named, all_reduce=sizes)


class _Process:
    """One of the processes, with a model that it trains together with the others of a group."""

    def __init__(
        self, config: Config, batch: Dict[str, Any], device: torch.device, group: Any
    ) -> None:
        model, self.wrapper = build_training(config, device)
        for part in model.modules():
            if hasattr(part, 'process_group'):  # what normalises over the ranks
                part.process_group = group
        # as the Runner and mmspd.compat wrap it
        self.model = MMDistributedDataParallel(
            module=model,
            device_ids=None if device.index is None else [device.index],
            broadcast_buffers=False,
            process_group=group,
        )
        self.batch, self.device, self.group = batch, device, group
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        self.gradient = sum(weight.nbytes for weight in trained)

    def turn(self) -> Dict[Any, float]:
        """Seconds of everything once; those of an all-reduce have its bytes for a name."""
        found: Dict[Any, float] = dict(step=self.seconds(self.step))
        backward: List[float] = []

        def timed(run: Callable[..., None], loss: torch.Tensor) -> None:
            backward.append(self.seconds(partial(run, loss), together=False))

        with mock.patch.object(self.wrapper, 'backward', partial(timed, self.wrapper.backward)):
            found['compute'] = self.seconds(partial(self.step, alone=True))
        found['backward'] = backward[0]
        for size in (SMALL, self.gradient // 4, self.gradient):
            data = torch.zeros(size // 4, device=self.device)
            found[size] = self.seconds(partial(distributed.all_reduce, data, group=self.group))
        return found

    def step(self, alone: bool = False) -> None:
        """Train for one step; ``alone`` without the exchange of gradients."""
        with self.model.no_sync() if alone else nullcontext():
            self.model.train_step(self.batch, self.wrapper)

    def seconds(self, function: Callable[[], Any], together: bool = True) -> float:
        """Time a call, which the processes of the group start ``together``."""
        if together:
            distributed.barrier(self.group)
        synchronise(self.device)
        start = time.perf_counter()
        function()
        synchronise(self.device)
        return time.perf_counter() - start
