"""Crops and batches that change with the epoch, through a data loader."""

import pytest
from mmengine.runner import Runner

from mmspd.registry import DATA_SAMPLERS, TRANSFORMS


@pytest.fixture
def build(gopro_root):
    """Return a function that builds a loader of 6 pairs with two stages, by the runner."""

    def build(num_workers=0):
        milestones = [2]
        return Runner.build_dataloader(
            dict(
                batch_size=3,
                num_workers=num_workers,
                persistent_workers=num_workers > 0,
                sampler=dict(type='mmspd.SeededSampler', shuffle=True),
                batch_sampler=dict(
                    type='mmspd.ProgressiveBatchSampler',
                    later_batch_sizes=[2],
                    milestones=milestones,
                ),
                dataset=dict(
                    type='mmspd.GoProDataset',
                    data_root=str(gopro_root),
                    pipeline=[
                        dict(type='mmspd.LoadImagePair'),
                        dict(
                            type='mmspd.ProgressiveCrop',
                            gt_patch_size=[16, 32],
                            milestones=milestones,
                        ),
                        dict(type='mmagic.PackInputs'),
                    ],
                ),
                collate_fn=dict(type='pseudo_collate'),
            ),
            seed=0,
        )

    return build


@pytest.mark.parametrize('num_workers', [0, 1])
def test_crops_grow_and_batches_shrink(build, num_workers):
    loader = build(num_workers)
    for epoch, side, sizes in ((0, 16, [3, 3]), (1, 16, [3, 3]), (2, 32, [2, 2, 2])):
        loader.batch_sampler.sampler.set_epoch(epoch)
        assert len(loader) == len(sizes)
        batches = [batch['inputs'] for batch in loader]
        assert [len(batch) for batch in batches] == sizes
        assert all(img.shape == (3, side, side) for batch in batches for img in batch)


def test_stages_must_match():
    with pytest.raises(ValueError, match=r'ProgressiveCrop needs one more size than milestones'):
        TRANSFORMS.build(
            dict(type='mmspd.ProgressiveCrop', gt_patch_size=[16, 32], milestones=[2, 4])
        )
    with pytest.raises(ValueError, match='which must grow'):
        DATA_SAMPLERS.build(
            dict(
                type='mmspd.ProgressiveBatchSampler',
                sampler=[],
                batch_size=4,
                later_batch_sizes=[2, 1],
                milestones=[4, 2],
            )
        )
