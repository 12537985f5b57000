# GOPRO_Large as unpacked: <GOPRO_ROOT>/{train,test}/<sequence>/{blur,blur_gamma,sharp}.
# GOPRO_ROOT is an environment variable; its default is data/GOPRO_Large.
# The blurry images are in blur; for blur_gamma, set blur_key='blur_gamma' in all datasets.
# To read packs made by tools/dataset_converters/pack.py, set MMSPD_PACKED to their folder.
# With num_workers=0, also set persistent_workers=False; PyTorch requires it.

_base_ = '../protocols/gopro.py'

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='mmspd.SeededSampler', shuffle=True),
    collate_fn=dict(type='mmspd.stack_batch'),
    dataset=dict(
        type='mmspd.GoProDataset',
        data_root='{{$GOPRO_ROOT:data/GOPRO_Large}}',
        packed='{{$MMSPD_PACKED:raw}}',
        split='train',
        pipeline=[
            dict(type='mmspd.LoadImagePair'),
            dict(type='mmagic.PairedRandomCrop', gt_patch_size=256),
            # flip before transposing: Flip works in place, which fails on a transposed view
            dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='horizontal'),
            dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='vertical'),
            dict(type='mmagic.RandomTransposeHW', keys=['img', 'gt'], transpose_ratio=0.5),
            dict(type='mmspd.PackInputs', meta_keys=['key', 'severity']),
        ],
    ),
)

val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='mmspd.SeededSampler', shuffle=False),
    dataset=dict(
        type='mmspd.GoProDataset',
        data_root='{{$GOPRO_ROOT:data/GOPRO_Large}}',
        packed='{{$MMSPD_PACKED:raw}}',
        split='test',
        test_mode=True,
        pipeline=[
            dict(type='mmspd.LoadImagePair'),
            dict(type='mmagic.PackInputs', meta_keys=['key', 'severity']),
        ],
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='mmengine.Evaluator',
    metrics=[dict(type='mmspd.PSNR', report_input=True), dict(type='mmspd.SSIM')],
)
protocol = 'gopro'
test_evaluator = dict(type='mmengine.Evaluator', metrics=_base_.gopro_metrics)

val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
