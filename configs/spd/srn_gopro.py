# SRN (with the LSTM) with its official recipe: 4000 epochs of 131 batches of 16, on gray images.
# The loss is the mean squared error, summed over three scales. The learning rate falls to zero with
# the power 0.3. The only augmentation is the random crop. The published PSNR is that of truncated
# 8-bit images, so tests truncate too.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/gopro.py',
    '../_base_/protocols/gopro_truncated.py',
]

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    type='mmspd.SemanticPriorDeblurrer',
    generator=dict(type='mmspd.SRN', variant='lstm', gray_training=True),
    losses=dict(loss_pix=dict(type='mmagic.MSELoss')),
    multi_scale_targets='tf1',
)

train_dataloader = dict(
    batch_size=16,
    drop_last=True,
    dataset=dict(
        pipeline=[
            dict(type='mmspd.LoadImagePair'),
            dict(type='mmagic.PairedRandomCrop', gt_patch_size=256),
            dict(type='mmspd.PackInputs', meta_keys=['key', 'severity']),
        ]
    ),
)
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=4000, val_interval=50)
optim_wrapper = dict(type='mmspd.OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))
param_scheduler = dict(
    type='mmengine.PolyLR', power=0.3, eta_min=0, by_epoch=True, convert_to_iter_based=True
)
auto_scale_lr = dict(base_batch_size=16)

test_evaluator = dict(type='mmengine.Evaluator', metrics=_base_.gopro_truncated_metrics)
protocol = 'gopro-truncated'
