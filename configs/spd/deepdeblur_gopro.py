# DeepDeblur with its official recipe: 1000 epochs, batch 16, L1 on 0..255 summed over three scales.
# Three augmentations are left out: the shuffle of the color channels, the scaling of the HSV
# saturation by 0.5 to 1.5, and the noise on the blurry image, whose sigma in gray levels is twice
# a normal number. The official recipe trains on GoPro's blur_gamma; this recipe trains on blur,
# like the other recipes here.
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/gopro.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    type='mmspd.SemanticPriorDeblurrer',
    generator=dict(type='mmspd.DeepDeblur'),
    losses=dict(loss_pix=dict(type='mmagic.L1Loss', loss_weight=255.0)),
    multi_scale_targets='gaussian',
)

train_dataloader = dict(batch_size=16)
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=1000, val_interval=20)
optim_wrapper = dict(type='mmspd.OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))
param_scheduler = dict(
    type='mmengine.MultiStepLR', milestones=[500, 750, 900], gamma=0.5, by_epoch=True
)
auto_scale_lr = dict(base_batch_size=16)
