# Data and schedule of the study, the same for all variants. STUDY_ROOT names the folder that
# projects/prior_study/data.py has made.
_base_ = '../../../configs/_base_/default_runtime.py'

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='mmspd.SeededSampler', shuffle=True),
    dataset=dict(
        type='mmspd.GoProDataset',
        data_root='{{$STUDY_ROOT:data/study}}/pairs/train',
        packed='{{$STUDY_ROOT:data/study}}/packs/train',
        split='train',
        pipeline=[
            dict(type='mmspd.LoadImagePair'),
            dict(type='PairedRandomCrop', gt_patch_size=64),
            dict(type='Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='horizontal'),
            dict(type='Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='vertical'),
            dict(type='RandomTransposeHW', keys=['img', 'gt'], transpose_ratio=0.5),
            dict(type='PackInputs', meta_keys=['key', 'severity']),
        ],
    ),
)

test_pipeline = [
    dict(type='mmspd.LoadImagePair'),
    dict(type='PackInputs', meta_keys=['key', 'severity']),
]
# what every trained variant is tested on; only val is for choosing
test_sets = dict(
    val=dict(
        type='mmspd.GoProDataset',
        data_root='{{$STUDY_ROOT:data/study}}/pairs/val',
        packed='{{$STUDY_ROOT:data/study}}/packs/val',
        split='test',
        test_mode=True,
        pipeline=test_pipeline,
    ),
    kodak24=dict(
        type='mmspd.GoProDataset',
        data_root='{{$STUDY_ROOT:data/study}}/pairs/kodak24',
        packed='{{$STUDY_ROOT:data/study}}/packs/kodak24',
        split='test',
        test_mode=True,
        pipeline=test_pipeline,
    ),
    reds=dict(
        type='mmspd.PairedFolderDataset',
        data_root='{{$STUDY_ROOT:data/study}}/pairs/reds',
        packed='{{$STUDY_ROOT:data/study}}/packs/reds',
        blur_dir='blur',
        sharp_dir='sharp',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
# batches, so that a control can swap the priors of the images in one
test_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='mmspd.SeededSampler', shuffle=False),
    dataset=test_sets['val'],
)
# the learning curve: every fifth pair of val, all severities
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='mmspd.SeededSampler', shuffle=False),
    dataset=dict(**test_sets['val'], indices=list(range(0, 300, 5))),
)
val_evaluator = dict(
    type='mmengine.Evaluator', metrics=[dict(type='mmspd.PSNR', report_input=True)]
)
val_cfg = dict(type='mmengine.ValLoop')
protocol = 'study'
test_evaluator = dict(
    type='mmengine.Evaluator',
    metrics=[
        dict(type='mmspd.PSNR', report_input=True),
        dict(type='mmspd.SSIM', mode='2d'),
        dict(type='mmspd.BlurSeverity'),
    ],
)
test_cfg = dict(type='mmengine.TestLoop')

# the study's epochs replace these
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=1, val_interval=1)
optim_wrapper = dict(type='mmspd.OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3))
param_scheduler = dict(
    type='mmengine.CosineAnnealingLR',
    T_max=1,
    eta_min=1e-5,
    by_epoch=True,
    convert_to_iter_based=True,
)
default_hooks = dict(checkpoint=dict(save_best=None, max_keep_ckpts=2))
visualizer = dict(
    _delete_=True,
    type='mmengine.Visualizer',
    vis_backends=[dict(type='mmengine.LocalVisBackend')],
)
