# A MIMO-UNet of a few thousand weights with dropout, 2 epochs of 3 iterations.
_base_ = '../../configs/_base_/default_runtime.py'

model = dict(
    type='mmspd.SemanticPriorDeblurrer',
    generator=dict(type='mmspd.MIMOUNet', base=4, num_res=1, dropout=0.3),
    losses=dict(
        loss_pix=dict(type='mmagic.L1Loss'),
        loss_freq=dict(type='mmspd.FrequencyLoss', loss_weight=0.1),
    ),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='mmspd.SeededSampler', shuffle=True),
    dataset=dict(
        type='mmspd.PairedFolderDataset',
        data_root='pairs/train',
        pipeline=[
            dict(type='mmspd.LoadImagePair'),
            dict(type='mmagic.PairedRandomCrop', gt_patch_size=16),
            dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5),
            dict(type='mmagic.PackInputs', meta_keys=['key']),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='mmspd.SeededSampler', shuffle=False),
    dataset=dict(
        type='mmspd.PairedFolderDataset',
        data_root='pairs/val',
        pipeline=[
            dict(type='mmspd.LoadImagePair'),
            dict(type='mmagic.PackInputs', meta_keys=['key']),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='mmengine.Evaluator', metrics=[dict(type='mmspd.PSNR')])
test_evaluator = val_evaluator
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=2e-3))
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=False, eta_min=1e-5)
train_cfg = dict(by_epoch=True, max_epochs=2)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(logger=dict(interval=1))
log_processor = dict(window_size=1)
