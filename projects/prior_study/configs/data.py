# Data and schedule of all variants of the study. STUDY_ROOT is the folder that
# projects/prior_study/data.py has made.
_base_ = '../../../configs/_base_/default_runtime.py'

data_root = '{{$STUDY_ROOT:data/study}}'
test_pipeline = [
    dict(type='mmspd.LoadImagePair'),
    dict(type='mmagic.PackInputs', meta_keys=['key', 'severity']),
]


def dataset(name, **options):
    place = dict(data_root=f'{data_root}/pairs/{name}', packed=f'{data_root}/packs/{name}')
    return dict(type='mmspd.GoProDataset', **place) | options


def test_set(name, **options):
    return dataset(name, test_mode=True, pipeline=test_pipeline, **options)


def test_pairs(name):
    return test_set(name, type='mmspd.PairedFolderDataset', blur_dir='blur', sharp_dir='sharp')


def loader(batch_size, shuffle, dataset):
    sampler = dict(type='mmspd.SeededSampler', shuffle=shuffle)
    return dict(batch_size=batch_size, num_workers=0, sampler=sampler, dataset=dataset)


train_dataloader = loader(
    batch_size=8,
    shuffle=True,
    dataset=dataset(
        'train',
        split='train',
        pipeline=[
            dict(type='mmspd.LoadImagePair'),
            dict(type='mmagic.PairedRandomCrop', gt_patch_size=64),
            dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='horizontal'),
            dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='vertical'),
            dict(type='mmagic.RandomTransposeHW', keys=['img', 'gt'], transpose_ratio=0.5),
            dict(type='mmagic.PackInputs', meta_keys=['key', 'severity']),
        ],
    ),
)
# every trained variant is tested on all sets, but variants are chosen by the results on val only
test_sets = dict(
    val=test_set('val', split='test'),
    kodak24=test_set('kodak24', split='test'),
    reds=test_pairs('reds'),
    levin09=test_pairs('levin09'),
    gopro=test_pairs('gopro'),
    gopro4=test_pairs('gopro4'),  # the same photos at a quarter of the size
)
# several images per batch, so that a control experiment can swap their priors
test_dataloader = loader(batch_size=4, shuffle=False, dataset=test_sets['val'])
# the learning curve uses every fifth pair of val; these pairs include all severities
val_dataloader = loader(
    batch_size=4,
    shuffle=False,
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

# the study's file overrides max_epochs, val_interval and T_max
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
