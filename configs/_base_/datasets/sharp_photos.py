# Any sharp photos in <SHARP_ROOT>/{train,test}, at any depth, with fresh blur in every epoch.
# Severities are weights; or extent=(8, 60), in pixels, in their place. For the sharp frames of
# GOPRO_Large set SHARP_ROOT to it and only_in='sharp'. Validation always gets the same blur.
_base_ = './gopro.py'

synthesize = dict(
    type='mmspd.SynthesizeBlur',
    severities=dict(mild=1, moderate=1, severe=2),
    moving_regions=1,
    noise=(0.0, 0.01),
    highlight_gain=(1.0, 4.0),
)

train_pipeline = _base_.train_dataloader.dataset.pipeline
train_pipeline[1] = dict(gt_patch_size=256, **synthesize)
train_pipeline[-1].update(meta_keys=['key', 'severity', 'blur_extent'])
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmspd.SharpFolderDataset',
        data_root='{{$SHARP_ROOT:data/sharp}}',
        packed='{{$MMSPD_PACKED:raw}}',
        split='train',
        pipeline=train_pipeline,
    ),
)

val_dataloader = dict(
    sampler=dict(seed=0),
    dataset=dict(
        _delete_=True,
        type='mmspd.SharpFolderDataset',
        data_root='{{$SHARP_ROOT:data/sharp}}',
        packed='{{$MMSPD_PACKED:raw}}',
        split='test',
        test_mode=True,
        pipeline=[
            dict(type='mmspd.LoadImagePair'),
            dict(**synthesize),
            dict(type='PackInputs', meta_keys=['key', 'severity', 'blur_extent']),
        ],
    ),
)
test_dataloader = val_dataloader
