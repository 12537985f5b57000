"""Sampler that hands every sample its seed, so that workers and restarts change nothing."""

from typing import Iterator

from mmengine.dataset import DefaultSampler

from mmspd.registry import DATA_SAMPLERS

__all__ = ['SampleIndex', 'SeededSampler']


class SampleIndex(int):
    """An index into a dataset that also carries what seeds the sample.

    A plain index cannot tell a persistent worker which epoch it is in. MMEngine's wrappers turn an
    index into the inner dataset's by ``%`` (RepeatDataset) and ``-`` (ConcatDataset); both keep the
    seeds here, and ``draw`` keeps the place in the outermost dataset, so the repetitions of an
    image within an epoch get different crops.

    Args:
        index: Index into the dataset that receives it.
        seed: Seed of the run, not negative.
        epoch: Epoch that the sample is drawn in, not negative.
        draw: Index into the outermost dataset; ``index`` itself where that is the only one.
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

    def __repr__(self) -> str:
        return f'SampleIndex({int(self)}, seed={self.seed}, epoch={self.epoch}, draw={self.draw})'


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
