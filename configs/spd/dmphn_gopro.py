# DMPHN(1-2-4) with its official recipe: 2400 epochs, batch 2, mean squared error.
# The network draws its initial weights as in the official code. The loss compares only the final
# image. The only augmentation is the random crop.
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/gopro.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    type='mmspd.SemanticPriorDeblurrer',
    generator=dict(type='mmspd.DMPHN'),
    losses=dict(loss_pix=dict(type='mmagic.MSELoss')),
)

train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        pipeline=[
            dict(type='mmspd.LoadImagePair'),
            dict(type='mmagic.PairedRandomCrop', gt_patch_size=256),
            dict(type='mmspd.PackInputs', meta_keys=['key', 'severity']),
        ]
    ),
)
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=2400, val_interval=50)
optim_wrapper = dict(type='mmspd.OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))
param_scheduler = dict(type='mmengine.StepLR', step_size=1000, gamma=0.1, by_epoch=True)
auto_scale_lr = dict(base_batch_size=2)
