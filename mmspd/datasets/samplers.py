"""Samplers that seed every sample, so that workers and restarts do not change the samples."""

import random
from collections import Counter
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Mapping, Optional

import numpy as np
import torch
from mmengine.dataset import BaseDataset, ConcatDataset, DefaultSampler, RepeatDataset
from numpy.random.mtrand import get_bit_generator, set_bit_generator
from torch.utils.data import get_worker_info

from mmspd.errors import UserError
from mmspd.registry import DATA_SAMPLERS
from mmspd.utils.severity import SEVERITIES

__all__ = ['SampleIndex', 'SeededSampler', 'SeveritySampler', 'seeded', 'shares_of']

#: Generator of ``numpy.random`` in a worker while a sample is made.
_GENERATOR_OF_SAMPLES = np.random.MT19937(0)

#: Key in ``weights`` for the pairs without a recorded severity.
UNKNOWN = 'unknown'


class SampleIndex(int):
    """An index into a dataset that also carries the seed, the epoch and the draw of the sample.

    The index carries the epoch because a persistent worker cannot read the epoch elsewhere.
    MMEngine's wrappers compute the index into the inner dataset with ``%`` (RepeatDataset) and
    ``-`` (ConcatDataset). Both operators keep ``seed``, ``epoch`` and ``draw``. Therefore
    repetitions of an image within an epoch get different crops.

    Args:
        index: Index into the dataset.
        seed: Seed of the run, at least 0.
        epoch: Current epoch, at least 0.
        draw: Number that is unique within the epoch. SeededSampler uses the index into the
            outermost dataset. SeveritySampler uses the position in the epoch.

    Examples:
        >>> from mmspd.datasets import SampleIndex
        >>> index = SampleIndex(7, seed=0, epoch=2, draw=7) % 5
        >>> index, index.epoch, index.draw
        (2, 2, 7)
    """

    seed: int
    epoch: int
    draw: int

    def __new__(cls, index: int, seed: int, epoch: int, draw: int) -> 'SampleIndex':
        """Create the index; the value of an int is set in ``__new__``."""
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
    """Seed ``random``, ``numpy.random`` and torch's CPU generator within a ``with`` block.

    The old states are restored at the end. Equal entropy gives equal random numbers in any process.
    Different entropy gives independent random numbers (``numpy.random.SeedSequence``). The CUDA
    generators are not changed.

    Args:
        entropy: Integers of at least 0 that identify the sample: seed, epoch, draw.

    Examples:
        >>> import random
        >>> from mmspd.datasets.samplers import seeded
        >>> with seeded(0, 3, 7):
        ...     first = random.random()
        >>> with seeded(0, 3, 7):
        ...     random.random() == first
        True
    """
    state = random.getstate(), torch.get_rng_state()
    words = np.random.SeedSequence(entropy).generate_state(3, np.uint32)
    with _numpy_seeded(words[1]):
        random.seed(int(words[0]))
        # torch.manual_seed would reseed the GPUs too, which would change the training step
        torch.default_generator.manual_seed(int(words[2]))
        try:
            yield
        finally:
            random.setstate(state[0])
            torch.set_rng_state(state[1])


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """Seed ``numpy.random`` within a ``with`` block."""
    generator = get_bit_generator()
    if get_worker_info() is None or generator is _GENERATOR_OF_SAMPLES:
        state = np.random.get_state()
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)
        return
    # Reading and writing the state takes longer than cutting a crop, and exchanging the generator
    # does not. The exchange loses only the second value of a pair of normally distributed values
    # that was drawn outside of samples.
    set_bit_generator(_GENERATOR_OF_SAMPLES)
    np.random.seed(seed)
    try:
        yield
    finally:
        set_bit_generator(generator)


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """Yields :class:`SampleIndex` instead of the ``int`` of MMEngine's DefaultSampler.

    The order, the sharding over ranks and the arguments (``dataset``, ``shuffle``, ``seed``,
    ``round_up``) are those of DefaultSampler. Set ``sampler.seed`` and call ``set_epoch`` before
    the iteration starts.

    Examples:
        >>> from mmspd.datasets import SeededSampler
        >>> sampler = SeededSampler(range(3), shuffle=False, seed=5)
        >>> sampler.set_epoch(2)
        >>> [(index, index.seed, index.epoch) for index in sampler]
        [(0, 5, 2), (1, 5, 2), (2, 5, 2)]
    """

    def __iter__(self) -> Iterator[SampleIndex]:
        """Yield the indices of this rank, each with the seed of its sample."""
        for index in super().__iter__():
            yield SampleIndex(index, self.seed, self.epoch, index)


@DATA_SAMPLERS.register_module()
class SeveritySampler(SeededSampler):
    """Draws images of some severities more often than images of other severities.

    An epoch has as many images as the dataset, in random order. An image of weight w is drawn
    w / (mean weight) times per epoch on average. In each epoch, this number is randomly rounded
    down or up. With equal weights, every image is drawn once. The order depends only on the
    weights, the seed and the epoch. The images are split over the ranks as in MMEngine's
    DefaultSampler.

    The sampler uses recorded severities (``records`` of
    :class:`~mmspd.datasets.paired.PairedImageDataset`). The dataset may be inside MMEngine's
    RepeatDataset or ConcatDataset.

    Args:
        dataset: The dataset. Passed by the runner.
        weights: A dict from each severity to the weight of its images, at least 0. The key
            ``'unknown'`` stands for images without a recorded severity.
        seed: Seed of the run. Passed by the runner.
        round_up: Whether every rank gets the same number of images.

    Raises:
        UserError: A weight is invalid, images have a severity without a weight, or all images have
            weight 0.

    Examples:
        >>> from collections import Counter
        >>> from mmengine.dataset import BaseDataset
        >>> from mmspd.datasets import SeveritySampler
        >>> names = ['mild'] * 10 + ['severe'] * 10
        >>> class Recorded(BaseDataset):
        ...     def load_data_list(self):
        ...         return [dict(severity=name) for name in names]
        >>> sampler = SeveritySampler(Recorded(), weights=dict(mild=1, severe=3), seed=3)
        >>> Counter(names[index] for index in sampler)
        Counter({'severe': 15, 'mild': 5})
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
        # systematic sampling: shuffle the images, add up their shares, and draw the images at
        # evenly spaced marks on this sum
        ends = np.cumsum(self.shares[order])
        marks = (np.arange(self.total_size) + rng.random()) / self.total_size
        drawn = rng.permutation(order[np.searchsorted(ends / ends[-1], marks, side='right')])
        for place in range(self.rank, self.total_size, self.world_size):
            yield SampleIndex(drawn[place], self.seed, self.epoch, place)


def shares_of(weights: Mapping[str, float]) -> Dict[str, float]:
    """Normalize the weights of the severities to a sum of 1.

    Args:
        weights: A dict from severity to weight, at least 0.

    Returns:
        A dict from severity to share.

    Raises:
        UserError: A severity is unknown, a weight is negative, or no weight is positive.

    Examples:
        >>> from mmspd.datasets.samplers import shares_of
        >>> shares_of(dict(mild=1, severe=3))
        {'mild': 0.25, 'severe': 0.75}
    """
    known = (*SEVERITIES, UNKNOWN)
    wrong = [name for name in weights if name not in known]
    if wrong:
        raise UserError(f"The severity '{wrong[0]}' in weights is unknown; use {', '.join(known)}.")
    total = sum(weights.values())
    if min(weights.values(), default=0) < 0 or not 0 < total < float('inf'):
        raise UserError(
            f'The weights of the severities are {dict(weights)}; give weights of at least 0 with a '
            'positive sum.'
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
        f'SeveritySampler cannot read the severities of a {type(dataset).__name__}; use a dataset '
        'of mmspd, RepeatDataset or ConcatDataset.'
    )


def _check_severities(severities: List[str], shares: Mapping[str, float]) -> None:
    """Check that every severity has a weight and that some image has a positive weight."""
    counts = Counter(severities)
    if UNKNOWN in counts and UNKNOWN not in shares:
        raise UserError(
            f'{counts[UNKNOWN]} of {len(severities)} pairs have no recorded severity; run '
            'mmspd data severity DATA_ROOT --out FILE and set records=FILE in the dataset, '
            f"or give '{UNKNOWN}' a weight."
        )
    missing = [name for name in counts if name not in shares]
    if missing:
        raise UserError(
            f"The weights of SeveritySampler lack '{missing[0]}', the severity of "
            f"{counts[missing[0]]} of {len(severities)} pairs; add '{missing[0]}' to the "
            'weights (0 skips these pairs).'
        )
    if not any(shares[name] for name in counts):
        raise UserError(
            'The weights of SeveritySampler are 0 for all pairs; give a positive weight to '
            f'{" or ".join(sorted(counts))}.'
        )
