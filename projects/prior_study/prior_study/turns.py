"""Train variants of a network in turns on one device, so that they can be compared at any time."""

import copy
import hashlib
import itertools
import math
import time
from typing import Any, Callable, Dict, Iterator, List, Sequence

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from torch import nn

from mmspd.engine.prefetch_hook import Prefetcher
from mmspd.engine.seed_hook import iteration_seed
from mmspd.registry import build_model

__all__ = ['Average', 'Training', 'marks_until', 'train_in_turns']

#: Steps between two looks at the clock of an accelerator. Each look waits for the device.
_UNWATCHED_STEPS = 8
_WARM_UP_STEPS = 3
_HASHED_BATCHES = 8


class Average:
    """Moving average of the weights of a model over about the last tenth of the training steps.

    The average is that of :math:`w_1, w_2, ...`, the weights after each step, with
    :math:`a_n = a_{n-1} + m_n (w_n - a_{n-1})` and :math:`m_n = 10 / (n + 9)`. It is useful at any
    time, so a training with a constant learning rate needs no fixed length. The statistics of batch
    normalizations are averaged too.

    Args:
        model: Model in training.

    Attributes:
        model: Copy of the model with the averaged weights, in evaluation mode.
        steps: Number of averaged steps.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = copy.deepcopy(model).requires_grad_(False).eval()
        self.steps = 0
        self._averaged, self._trained = _values(self.model), _values(model)

    @torch.no_grad()
    def update(self) -> None:
        """Add the weights of the model, after a training step."""
        self.steps += 1
        # one call for all weights, because a GPU would often wait for the calls of a loop
        torch._foreach_lerp_(self._averaged, self._trained, 10 / (self.steps + 9))


def _values(model: nn.Module) -> List[torch.Tensor]:
    """Return the parameters and the buffers of a model that can be averaged."""
    values = itertools.chain(model.parameters(), model.buffers())
    return [value.detach() for value in values if value.is_floating_point()]


class Training:
    """The training of one variant with a constant learning rate, which continues turn by turn.

    A batch depends only on the seed and on the number of the step. Before the first turn, a copy of
    the model is trained for a few steps, so that no turn contains the start of the workers of the
    data loader and the first calls of the device.

    Args:
        config: Config with ``model``, ``optim_wrapper`` and ``train_dataloader``. The weights of
            the model must be available.
        device: Device of the training.
        seed: Seed of the initial weights and of the samples.

    Attributes:
        average: The averaged weights.
        seconds: Duration of all turns.
        waiting: Part of ``seconds`` in which the host waited for the data loader.
        steps: Number of training steps.
        batches: Hashes of the samples of each of the first batches.
        diverged: Whether the loss has become infinite or NaN. This ends the training.
    """

    def __init__(self, config: Config, device: torch.device, seed: int) -> None:
        init_default_scope(config.get('default_scope', 'mmagic'))
        set_random_seed(seed)
        self._device, self._seed = device, seed
        self._model = build_model(config.model)
        self._model.init_weights()
        self._model.to(device).train()
        self._wrapper = build_optim_wrapper(self._model, config.optim_wrapper)
        self.average = Average(self._model)
        self.batch_size = config.train_dataloader.batch_size
        self.seconds = self.waiting = 0.0
        self.steps = 0
        self.batches: List[str] = []
        self.diverged = False
        self._losses: List[float] = []
        loader = Runner.build_dataloader(config.train_dataloader, seed=seed)
        self._source = _endless(loader, device)
        first = next(self._source)
        self._warm_up(config, first)
        self._source = itertools.chain([first], self._source)

    def _warm_up(self, config: Config, batch: Any) -> None:
        """Train a copy of the model."""
        model = copy.deepcopy(self._model)
        wrapper = build_optim_wrapper(model, config.optim_wrapper)
        for _ in range(_WARM_UP_STEPS):
            loss = model.train_step(batch, wrapper)['loss']
        float(loss.detach())  # waits for the device

    def advance(self, until: float) -> None:
        """Train until the training has taken some seconds in all.

        Args:
            until: Duration of all turns in seconds. It is exceeded by a few steps at most.
        """
        start = time.perf_counter() - self.seconds
        count = 1 if self._device.type == 'cpu' else _UNWATCHED_STEPS
        while self.seconds < until and not self.diverged:
            losses = torch.stack([self._step() for _ in range(count)])
            self._losses.append(float(losses.mean()))  # waits for the device
            self.diverged = not math.isfinite(self._losses[-1])
            self.seconds = time.perf_counter() - start

    def _step(self) -> torch.Tensor:
        """Train for one step and return the loss, on the device."""
        start = time.perf_counter()
        batch = next(self._source)
        self.waiting += time.perf_counter() - start
        if self.steps < _HASHED_BATCHES:
            self.batches.append(_hash(batch))
        torch.manual_seed(iteration_seed(self._seed, 0, self.steps))  # whatever the others draw
        loss = self._model.train_step(batch, self._wrapper)['loss'].detach()
        self.average.update()
        self.steps += 1
        return loss

    def progress(self) -> Dict[str, float]:
        """Return ``seconds``, ``waiting``, ``samples`` and the mean ``loss`` since the last call.

        There is no ``loss`` if there was no step since the last call.
        """
        counts = dict(
            seconds=self.seconds, waiting=self.waiting, samples=self.steps * self.batch_size
        )
        losses, self._losses = self._losses, []
        return {**counts, **(dict(loss=sum(losses) / len(losses)) if losses else {})}


def _endless(loader: Any, device: torch.device) -> Iterator[Any]:
    """Yield the batches of all epochs; CUDA copies the next batch while it computes."""
    source = Prefetcher(loader, device) if device.type == 'cuda' else loader
    for epoch in itertools.count():
        loader.sampler.set_epoch(epoch)
        yield from source


def _hash(batch: Dict[str, Any]) -> str:
    """Return a 12-digit hash of the photos, places and random numbers of a batch to be blurred."""
    drawn = [
        (sample.key, image.seed, image.box, image.get('flips'))
        for image, sample in zip(batch['inputs'], batch['data_samples'])
    ]
    return hashlib.sha256(repr(drawn).encode('utf-8')).hexdigest()[:12]


def marks_until(seconds: float, count: int = 8) -> List[float]:
    """Return durations of training at which to evaluate, each twice the one before.

    Args:
        seconds: The last duration.
        count: Number of durations.

    Examples:
        >>> from prior_study.turns import marks_until
        >>> marks_until(96, count=4)
        [12.0, 24.0, 48.0, 96.0]
    """
    return [seconds / 2**power for power in reversed(range(count))]


def train_in_turns(
    trainings: Dict[str, Training],
    marks: Sequence[float],
    turn: float,
    evaluate: Callable[[str], None],
    deadline: float = math.inf,
) -> bool:
    """Train several variants in turns, so that all have taken about the same time at any time.

    Args:
        trainings: A dict from the name of each variant to its training.
        marks: Durations of a training, in seconds and ascending, after which all variants are
            evaluated.
        turn: Longest turn in seconds.
        evaluate: Function that evaluates the variant of a name.
        deadline: Time to stop, in seconds since 1970. The variants are evaluated once more then.

    Returns:
        Whether the last mark was reached.
    """
    reached = 0.0
    for mark in marks:
        while reached < mark and time.time() < deadline:
            reached = min(reached + turn, mark)
            for training in trainings.values():
                training.advance(reached)
        for name in trainings:
            evaluate(name)
        if reached < mark:
            return False
    return True
