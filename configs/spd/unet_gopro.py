# The paper's UNet without a prior (Net0): 700 epochs, batch 10 on one GPU.
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/gopro.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    type='mmspd.SemanticPriorDeblurrer',
    generator=dict(type='mmspd.UNet'),
    losses=dict(
        loss_pix=dict(type='mmagic.L1Loss'),
        loss_vgg=dict(type='mmspd.VGGLoss', weights='torchvision', loss_weight=0.01),
    ),
)

train_dataloader = dict(batch_size=10)
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=700, val_interval=20)
# the paper does not state the weight decay
optim_wrapper = dict(
    type='mmspd.OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-4, betas=(0.9, 0.999), weight_decay=1e-4),
)
param_scheduler = dict(
    type='mmengine.CosineAnnealingLR',
    eta_min=1e-6,
    by_epoch=True,
    convert_to_iter_based=True,
)
auto_scale_lr = dict(base_batch_size=10)
