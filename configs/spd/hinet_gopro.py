# HINet with the authors' recipe: 400k iterations of 8 GPUs x 8, PSNR loss on both outputs.
# Here these iterations are 1521 epochs of the data set, which is repeated 8 times. The authors take
# the crops from overlapping parts of 512x512 pixels, which they cut beforehand. This config takes
# them from the whole images, so their positions are distributed a little differently. The learning
# rate is for a batch of 64; with a smaller batch, lower it, or the training diverges.
#
# The published results are of windows: each image is restored in overlapping windows of 256 pixels,
# which are averaged. Validation and tests do the same. mmspd test --window 0 restores whole images.
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/gopro.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    type='mmspd.SemanticPriorDeblurrer',
    generator=dict(type='mmspd.HINet', wf=64, hin_position=(3, 4)),
    losses=dict(loss_psnr=dict(type='mmagic.PSNRLoss', loss_weight=0.5)),
    test_cfg=dict(window=256),
)

train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True,
        type='mmengine.RepeatDataset',
        times=8,
        dataset=_base_.train_dataloader.dataset,
    ),
)
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=1521, val_interval=20)
optim_wrapper = dict(
    type='mmspd.OptimWrapper',
    optimizer=dict(type='Adam', lr=2e-4, betas=(0.9, 0.99)),
    clip_grad=dict(max_norm=0.01),
)
param_scheduler = dict(
    type='mmengine.CosineAnnealingLR',
    eta_min=1e-7,
    by_epoch=True,
    convert_to_iter_based=True,
)
auto_scale_lr = dict(base_batch_size=64)
