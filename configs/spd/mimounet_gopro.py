# MIMO-UNet with its official recipe: 3000 epochs, batch 4 on one GPU, horizontal flips only.
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/gopro.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    type='mmspd.SemanticPriorDeblurrer',
    generator=dict(type='mmspd.MIMOUNet'),
    losses=dict(
        loss_pix=dict(type='mmagic.L1Loss'),
        loss_freq=dict(type='mmspd.FrequencyLoss', loss_weight=0.1),
    ),
)

train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        pipeline=[
            dict(type='mmspd.LoadImagePair'),
            dict(type='mmagic.PairedRandomCrop', gt_patch_size=256),
            dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='horizontal'),
            dict(type='mmspd.PackInputs', meta_keys=['key', 'severity']),
        ]
    ),
)
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=3000, val_interval=50)
optim_wrapper = dict(type='mmspd.OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))
param_scheduler = dict(type='mmengine.StepLR', step_size=500, gamma=0.5, by_epoch=True)
auto_scale_lr = dict(base_batch_size=4)
