"""Progressive training: larger crops in smaller batches as the epochs go by (Restormer)."""

from bisect import bisect_right
from typing import Any, Dict, Iterator, List, Sequence

from mmcv.transforms import BaseTransform
from mmengine.dataset import DefaultSampler
from torch.utils.data import Sampler

from mmspd.errors import UserError
from mmspd.registry import DATA_SAMPLERS, TRANSFORMS, import_sibling

__all__ = ['ProgressiveBatchSampler', 'ProgressiveCrop']


def _check_stages(name: str, sizes: Sequence[int], milestones: Sequence[int]) -> None:
    if len(sizes) != len(milestones) + 1 or list(milestones) != sorted(set(milestones)):
        raise UserError(
            f'{name} needs one more size than milestones, which must grow, but got '
            f'{len(sizes)} sizes and milestones={list(milestones)}.'
        )


@TRANSFORMS.register_module()
class ProgressiveCrop(BaseTransform):
    """MMagic's ``PairedRandomCrop`` with a crop that changes at given epochs.

    Needs :class:`~mmspd.datasets.samplers.SeededSampler`, whose indices tell the epoch even to a
    persistent worker.

    Args:
        gt_patch_size: sides of the crops, one per stage.
        milestones: epochs, counted from 0, at which the next stage starts.
    """

    def __init__(self, gt_patch_size: Sequence[int], milestones: Sequence[int]) -> None:
        _check_stages('ProgressiveCrop', gt_patch_size, milestones)
        self.milestones = list(milestones)
        import_sibling('mmagic')
        self.crops = [
            TRANSFORMS.build(dict(type='mmagic.PairedRandomCrop', gt_patch_size=size))
            for size in gt_patch_size
        ]

    @property
    def gt_patch_size(self) -> int:
        """The largest side, which an image must have."""
        return max(crop.gt_patch_size for crop in self.crops)

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Crop ``img`` and ``gt`` for the epoch of ``results``."""
        return self.crops[bisect_right(self.milestones, results['epoch'])](results)


@DATA_SAMPLERS.register_module()
class ProgressiveBatchSampler(Sampler):
    """Batches whose size changes at given epochs.

    Args:
        sampler: yields the indices and knows its ``epoch``; given by the runner.
        batch_size: the first stage's size; given by the runner.
        later_batch_sizes: sizes of the stages after it.
        milestones: epochs, counted from 0, at which the next stage starts.
    """

    def __init__(
        self,
        sampler: DefaultSampler,
        batch_size: int,
        later_batch_sizes: Sequence[int],
        milestones: Sequence[int],
    ) -> None:
        self.batch_sizes = [batch_size, *later_batch_sizes]
        _check_stages('ProgressiveBatchSampler', self.batch_sizes, milestones)
        self.sampler = sampler
        self.milestones = list(milestones)

    @property
    def batch_size(self) -> int:
        """The batch size of the current epoch."""
        return self.batch_sizes[bisect_right(self.milestones, self.sampler.epoch)]

    def __iter__(self) -> Iterator[List[int]]:
        """Yield the batches of the epoch; a last incomplete one is dropped."""
        size, batch = self.batch_size, []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == size:
                yield batch
                batch = []

    def __len__(self) -> int:
        """Number of batches of the epoch."""
        return len(self.sampler) // self.batch_size
