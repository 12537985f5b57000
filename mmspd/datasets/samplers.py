"""Samplers that hand every sample its seed, so that workers and restarts change nothing."""

import random
from collections import Counter
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Mapping, Optional

import numpy as np
import torch
from mmengine.dataset import BaseDataset, ConcatDataset, DefaultSampler, RepeatDataset

from mmspd.errors import UserError
from mmspd.registry import DATA_SAMPLERS
from mmspd.utils.severity import SEVERITIES

__all__ = ['SampleIndex', 'SeededSampler', 'SeveritySampler', 'seeded', 'shares_of']

#: Stands in ``weights`` for the pairs whose severity is not recorded.
UNKNOWN = 'unknown'


class SampleIndex(int):
    """An index into a dataset that also carries what seeds the sample.

    A plain index cannot tell a persistent worker which epoch it is in. MMEngine's wrappers turn an
    index into the inner dataset's by ``%`` (RepeatDataset) and ``-`` (ConcatDataset); both keep the
    seeds here, and ``draw`` as well, so the repetitions of an image within an epoch get different
    crops.

    Args:
        index: Index into the dataset that receives it.
        seed: Seed of the run, not negative.
        epoch: Epoch that the sample is drawn in, not negative.
        draw: What tells the sample from the others of its epoch: for SeededSampler the index into
            the outermost dataset, for SeveritySampler the place in the epoch.
    """

    seed: int
    epoch: int
    draw: int

    def __new__(cls, index: int, seed: int, epoch: int, draw: int) -> 'SampleIndex':
        """Make the index; an int is immutable, so its value is set here."""
        self = super().__new__(cls, index)
        self.seed, self.epoch, self.draw = seed, epoch, draw
        return self

    def __mod__(self, length: int) -> 'SampleIndex':
        return SampleIndex(int(self) % length, self.seed, self.epoch, self.draw)

    def __sub__(self, start: int) -> 'SampleIndex':
        return SampleIndex(int(self) - start, self.seed, self.epoch, self.draw)

    def __getnewargs__(self) -> tuple:
        return int(self), self.seed, self.epoch, self.draw


@contextmanager
def seeded(*entropy: int) -> Iterator[None]:
    """Seed ``random``, ``numpy.random`` and torch's CPU generator, and restore them at the end.

    Equal entropy gives equal random numbers in any process; different entropy gives independent
    ones (``numpy.random.SeedSequence``). CUDA generators are not touched.

    Args:
        entropy: Integers, not negative, that name the sample: seed, epoch, index.
    """
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence(entropy).generate_state(3, np.uint32)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    # torch.manual_seed would reseed the GPUs too, which belong to the training step
    torch.default_generator.manual_seed(int(words[2]))
    try:
        yield
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])
        torch.set_rng_state(state[2])


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """MMEngine's DefaultSampler, yielding :class:`SampleIndex` instead of ``int``.

    Order, sharding over ranks and arguments (``shuffle``, ``seed``, ``round_up``) are
    DefaultSampler's. ``seed`` and ``epoch`` are read when an epoch starts, so assigning
    ``sampler.seed`` or calling ``set_epoch`` before that takes effect.
    """

    def __iter__(self) -> Iterator[SampleIndex]:
        """Yield the indices of this rank, each with the seed of its sample."""
        for index in super().__iter__():
            yield SampleIndex(index, self.seed, self.epoch, index)


@DATA_SAMPLERS.register_module()
class SeveritySampler(SeededSampler):
    """Draws images of some severities more often than those of others.

    An epoch has as many images as the dataset, in random order. An image of weight w is drawn
    w / (mean weight) times: rounded down or up, at random, so that this is the mean over the
    epochs. Equal weights draw every image once. What is drawn depends on seed and epoch alone; the
    ranks share it as MMEngine's DefaultSampler does.

    Severities are the dataset's records (``records`` of
    :class:`~mmspd.datasets.paired.PairedImageDataset`), also inside MMEngine's RepeatDataset and
    ConcatDataset.

    Args:
        dataset: The dataset; given by the runner.
        weights: Weight of an image by its severity, not negative; ``'unknown'`` for images without
            a record.
        seed: Seed of the run; given by the runner.
        round_up: DefaultSampler's: whether every rank gets equally many images.

    Raises:
        UserError: A weight is out of its range, or images have a severity without a weight.
    """

    def __init__(
        self,
        dataset: Any,
        weights: Mapping[str, float],
        seed: Optional[int] = None,
        round_up: bool = True,
    ) -> None:
        super().__init__(dataset, shuffle=True, seed=seed, round_up=round_up)
        shares = shares_of(weights)
        severities = [severity or UNKNOWN for severity in _severities(dataset)]
        _check_severities(severities, shares)
        self.shares = np.array([shares[severity] for severity in severities])

    def __iter__(self) -> Iterator[SampleIndex]:
        """Yield the indices of this rank, each with the seed of its sample."""
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(len(self.shares))
        # evenly spaced marks on the line of all shares, in an order that ties no two images
        ends = np.cumsum(self.shares[order])
        marks = (np.arange(self.total_size) + rng.random()) / self.total_size
        drawn = rng.permutation(order[np.searchsorted(ends / ends[-1], marks, side='right')])
        for place in range(self.rank, self.total_size, self.world_size):
            yield SampleIndex(drawn[place], self.seed, self.epoch, place)


def shares_of(weights: Mapping[str, float]) -> Dict[str, float]:
    """Turn the weights of severities into shares with sum 1.

    Raises:
        UserError: A name is unknown, a weight is negative, or none is positive.
    """
    known = (*SEVERITIES, UNKNOWN)
    wrong = [name for name in weights if name not in known]
    if wrong:
        raise UserError(f"there is no severity '{wrong[0]}' to weight: use {', '.join(known)}")
    total = sum(weights.values())
    if min(weights.values(), default=0) < 0 or not 0 < total < float('inf'):
        raise UserError(
            f'the weights of the severities are not negative and one is positive, not '
            f'{dict(weights)}'
        )
    return {name: weight / total for name, weight in weights.items()}


def _severities(dataset: Any) -> List[Optional[str]]:
    """Return the recorded severity of every image of a dataset."""
    if isinstance(dataset, RepeatDataset):
        return _severities(dataset.dataset) * dataset.times
    if isinstance(dataset, ConcatDataset):
        return [severity for inner in dataset.datasets for severity in _severities(inner)]
    if isinstance(dataset, BaseDataset):
        return [dataset.get_data_info(i).get('severity') for i in range(len(dataset))]
    raise UserError(
        f'SeveritySampler cannot see into {type(dataset).__name__}: use a data set of mmspd, '
        'RepeatDataset or ConcatDataset'
    )


def _check_severities(severities: List[str], shares: Mapping[str, float]) -> None:
    """Refuse severities without a weight, and a data set of which nothing would be drawn."""
    counts = Counter(severities)
    if UNKNOWN in counts and UNKNOWN not in shares:
        raise UserError(
            f'SeveritySampler needs the severity of every pair, which {counts[UNKNOWN]} of '
            f'{len(severities)} lack: measure them with tools/analysis/severity.py DATA_ROOT '
            f"--out FILE and set records=FILE in the dataset, or give '{UNKNOWN}' a weight"
        )
    missing = [name for name in counts if name not in shares]
    if missing:
        raise UserError(
            f"SeveritySampler's weights lack '{missing[0]}', which {counts[missing[0]]} of "
            f'{len(severities)} pairs are: add it, or give it 0'
        )
    if not any(shares[name] for name in counts):
        raise UserError(
            f"SeveritySampler's weights draw nothing: the pairs are {', '.join(sorted(counts))}"
        )
