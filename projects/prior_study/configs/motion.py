# The value of the true motion: the network gets the exact motion of the synthetic blur, as an upper
# bound for a prior that estimates the motion. Only the synthetic test sets have this motion.
#   python projects/prior_study/run.py projects/prior_study/configs/motion.py --jobs 2 --minutes 60
_base_ = ['./main.py', './data.py']

val_pipeline = [
    dict(type='mmspd.LoadImagePair'),
    dict(type='mmspd.LoadMotion'),
    dict(type='mmspd.PackMotion'),
    dict(type='mmagic.PackInputs', meta_keys=['key', 'severity'], data_keys=['motion']),
]
keys = ['img', 'gt']
train_pipeline = [
    dict(type='mmspd.LoadImagePair'),
    dict(type='mmspd.LoadMotion'),
    dict(type='mmagic.PairedRandomCrop', gt_patch_size=64),
    dict(type='mmagic.Flip', keys=keys, flip_ratio=0.5, direction='horizontal'),
    dict(type='mmagic.Flip', keys=keys, flip_ratio=0.5, direction='vertical'),
    dict(type='mmagic.RandomTransposeHW', keys=keys, transpose_ratio=0.5),
    dict(type='mmspd.PackMotion'),
    dict(type='mmagic.PackInputs', meta_keys=['key', 'severity'], data_keys=['motion']),
]
with_motion = {
    'model.type': 'mmspd.MotionDeblurrer',
    'train_dataloader.dataset.pipeline': train_pipeline,
    'val_dataloader.dataset.pipeline': val_pipeline,
    'test_sets': dict(
        {name: dict(_base_.test_sets[name], pipeline=val_pipeline) for name in ('val', 'kodak24')},
        _delete_=True,
    ),
    **_base_.no_teacher,
}
prior = 'model.generator.prior'


def with_prior(name, about, options=None, **keys):
    options = {**with_motion, **(options or {})}
    return dict(name=name, about=about, base='unet_sp.py', options=options, **keys)


variants = [
    *_base_.variants,
    with_prior(
        'motion',
        'true motion as the prior, no F_S',
        {prior: dict(_delete_=True, type='mmspd.MotionOnly', strides=(4, 8, 16))},
    ),
    with_prior(
        'pretrained_motion',
        'pretrained prior and true motion',
        {**_base_.pretrained_prior, f'{prior}.type': 'mmspd.SPLWithMotion'},
    ),
]
order = [dict(variants=['pretrained_motion', 'motion'], seeds=_base_.seeds)]
front = []
title = 'The value of the true motion'
tables = [
    dict(
        title='Gain of the true motion',
        gains=[('motion', 'widened'), ('pretrained_motion', 'pretrained')],
    )
]
