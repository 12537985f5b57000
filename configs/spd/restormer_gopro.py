# MMagic's Restormer with the authors' progressive recipe: 300k iterations of 8 GPUs.
# The crops grow from 128 to 384 pixels, and the total batch shrinks from 64 to 8. The stages end at
# 92k, 156k, 204k, 240k, 276k and 300k iterations. This config counts the stages in epochs of the
# data set, which is repeated 8 times. The learning rate is for 8 GPUs; with fewer GPUs, set
# optim_wrapper.accumulative_counts to keep the size of the total batch. The crops come from whole
# images; the authors first cut the images into overlapping patches of 512 pixels.
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/gopro.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'
milestones = [350, 502, 593, 627, 644]
max_epochs = 655

model = dict(
    type='mmspd.SemanticPriorDeblurrer',
    generator=dict(type='mmagic.Restormer'),
    losses=dict(loss_pix=dict(type='mmagic.L1Loss')),
)

train_pipeline = _base_.train_dataloader.dataset.pipeline
train_pipeline[1] = dict(
    type='mmspd.ProgressiveCrop',
    gt_patch_size=[128, 160, 192, 256, 320, 384],
    milestones=milestones,
)
train_dataloader = dict(
    batch_size=8,
    batch_sampler=dict(
        type='mmspd.ProgressiveBatchSampler',
        later_batch_sizes=[5, 4, 2, 1, 1],
        milestones=milestones,
    ),
    dataset=dict(
        _delete_=True,
        type='mmengine.RepeatDataset',
        times=8,
        dataset=dict(_base_.train_dataloader.dataset, pipeline=train_pipeline),
    ),
)
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=10)
optim_wrapper = dict(
    type='mmspd.OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    clip_grad=dict(max_norm=0.01),
)
param_scheduler = dict(
    type='mmspd.ProgressiveCosineLR',
    milestones=milestones,
    max_epochs=max_epochs,
    stage_iters=[92000, 64000, 48000, 36000, 36000, 24000],
    constant_iters=92000,
    eta_min=1e-6,
)
