# The quick start: a small MIMO-UNet with a prior distilled from EfficientNet-Lite0.
# It trains on a few real photos with synthetic panning blur, in minutes on two CPU cores. It shows
# that all parts work. Do not compare its results with the paper's.
_base_ = [
    './mimounet_gopro.py',
    '../_base_/semantic_prior.py',
    '../_base_/teachers/efficientnet_lite0.py',
]

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

guided = _base_.guided
guided.prior.extractor.update(width=32, num_blocks=(1, 2, 3))
model = dict(
    generator=dict(
        _delete_=True,
        restorer=dict(_base_.model.generator, base=16, num_res=4),
        **guided,
    ),
    teacher=_base_.teacher,
    prior_loss=_base_.prior_loss,
)

data_root = '{{$QUICKSTART_ROOT:data/quickstart}}'
train_pipeline = _base_.train_dataloader.dataset.pipeline
train_pipeline[1].update(gt_patch_size=96)
# the few photos need every flip, but a transposition would make the blur vertical
train_pipeline.insert(
    3, dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='vertical')
)
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root, packed='raw', pipeline=train_pipeline),
)
val_dataloader = dict(num_workers=0, dataset=dict(data_root=data_root, packed='raw'))
test_dataloader = dict(num_workers=0, dataset=dict(data_root=data_root, packed='raw'))

train_cfg = dict(max_epochs=8, val_interval=8)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
auto_scale_lr = dict(base_batch_size=8)
param_scheduler = dict(
    _delete_=True,
    type='mmengine.CosineAnnealingLR',
    eta_min=1e-5,
    by_epoch=True,
    convert_to_iter_based=True,
)
default_hooks = dict(logger=dict(interval=50))
