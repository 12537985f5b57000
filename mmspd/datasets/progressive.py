"""Progressive training of Restormer: later epochs use larger crops in smaller batches."""

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
            f'{name} has {len(sizes)} sizes and milestones={list(milestones)}; give increasing '
            'milestones and one more size than milestones.'
        )


@TRANSFORMS.register_module()
class ProgressiveCrop(BaseTransform):
    """MMagic's ``PairedRandomCrop`` with a crop size that changes at given epochs.

    Use :class:`~mmspd.datasets.samplers.SeededSampler`, because its indices contain the epoch.

    Args:
        gt_patch_size: Side of the crop in pixels, one value for each stage.
        milestones: Epochs, counted from 0, at which the next stage starts. Strictly increasing.

    Raises:
        UserError: The milestones do not increase, or the number of sizes is not the number of
            milestones plus 1.

    Examples:
        >>> import numpy as np
        >>> from mmspd.datasets import ProgressiveCrop
        >>> crop = ProgressiveCrop(gt_patch_size=[16, 32], milestones=[100])
        >>> sample = dict(img=np.zeros((48, 48, 3)), gt=np.zeros((48, 48, 3)))
        >>> sample.update(scale=1, img_path='blurry.png', gt_path='sharp.png')
        >>> [crop(dict(sample, epoch=epoch))['img'].shape for epoch in (99, 100)]
        [(16, 16, 3), (32, 32, 3)]
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
        """Side of the largest crop in pixels; images must not be smaller."""
        return max(crop.gt_patch_size for crop in self.crops)

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Crop ``img`` and ``gt`` to the size of the stage.

        Args:
            results: A sample with ``img``, ``gt`` and ``epoch``.

        Returns:
            The sample with the crops.
        """
        return self.crops[bisect_right(self.milestones, results['epoch'])](results)


@DATA_SAMPLERS.register_module()
class ProgressiveBatchSampler(Sampler):
    """Makes batches of a size that changes at given epochs; drops an incomplete last batch.

    Args:
        sampler: Sampler with the attribute ``epoch``. Passed by the runner.
        batch_size: Batch size of the first stage. Passed by the runner.
        later_batch_sizes: Batch sizes of the later stages.
        milestones: Epochs, counted from 0, at which the next stage starts. Strictly increasing.

    Raises:
        UserError: The milestones do not increase, or the number of sizes is not the number of
            milestones plus 1.

    Examples:
        >>> from mmspd.datasets import ProgressiveBatchSampler, SeededSampler
        >>> sampler = SeededSampler(range(6), shuffle=False, seed=0)
        >>> batches = ProgressiveBatchSampler(sampler, 3, later_batch_sizes=[2], milestones=[100])
        >>> list(batches)
        [[0, 1, 2], [3, 4, 5]]
        >>> sampler.set_epoch(100)
        >>> list(batches)
        [[0, 1], [2, 3], [4, 5]]
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
        """Batch size of the current epoch."""
        return self.batch_sizes[bisect_right(self.milestones, self.sampler.epoch)]

    def __iter__(self) -> Iterator[List[int]]:
        """Yield the batches of the epoch."""
        size, batch = self.batch_size, []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == size:
                yield batch
                batch = []

    def __len__(self) -> int:
        """Return the number of batches of the epoch."""
        return len(self.sampler) // self.batch_size
