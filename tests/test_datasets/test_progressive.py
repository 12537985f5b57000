"""Crops and batches that change with the epoch, in a data loader."""

import pytest
from mmengine.runner import Runner

from mmspd.datasets import ProgressiveBatchSampler, ProgressiveCrop


def build(root, num_workers):
    """Let the runner build a loader of 6 pairs with two stages."""
    stages = dict(milestones=[2])
    crop = dict(type='mmspd.ProgressiveCrop', gt_patch_size=[16, 32], **stages)
    steps = [dict(type='mmspd.LoadImagePair'), crop, dict(type='mmagic.PackInputs')]
    loader = dict(
        batch_size=3,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        sampler=dict(type='mmspd.SeededSampler', shuffle=True),
        batch_sampler=dict(type='mmspd.ProgressiveBatchSampler', later_batch_sizes=[2], **stages),
        dataset=dict(type='mmspd.GoProDataset', data_root=str(root), pipeline=steps),
        collate_fn=dict(type='pseudo_collate'),
    )
    return Runner.build_dataloader(loader, seed=0)


@pytest.mark.parametrize('num_workers', [0, 1])
def test_crops_grow_and_batches_shrink(gopro_root, num_workers):
    loader = build(gopro_root, num_workers)
    for epoch, side, sizes in ((0, 16, [3, 3]), (1, 16, [3, 3]), (2, 32, [2, 2, 2])):
        loader.batch_sampler.sampler.set_epoch(epoch)
        assert len(loader) == len(sizes)
        batches = [batch['inputs'] for batch in loader]
        assert [len(batch) for batch in batches] == sizes
        assert all(img.shape == (3, side, side) for batch in batches for img in batch)


def test_stages_must_match():
    with pytest.raises(ValueError, match=r'ProgressiveCrop has 2 sizes and milestones=\[2, 4\]'):
        ProgressiveCrop([16, 32], milestones=[2, 4])
    with pytest.raises(ValueError, match='give increasing milestones'):
        ProgressiveBatchSampler([], 4, later_batch_sizes=[2, 1], milestones=[4, 2])
