# MPRNet with its official recipe: 3000 epochs, 4 GPUs x 4, three epochs of warm-up, cosine.
# Two steps of the official recipe are left out: a small change of the saturation of every third
# pair, and the reflection padding of images that are smaller than the crop. Training refuses such
# small images. The eight flips and turns of a crop are equally likely; the official code leaves a
# crop unchanged twice as often.
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/gopro.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'
max_epochs = 3000
warmup_epochs = 3

model = dict(
    type='mmspd.SemanticPriorDeblurrer',
    generator=dict(type='mmspd.MPRNet'),
    losses=dict(
        # MPRNet adds 1e-3 squared under the root; MMagic adds eps without squaring it
        loss_charbonnier=dict(type='mmagic.CharbonnierLoss', eps=1e-6),
        loss_edge=dict(type='mmspd.EdgeLoss', loss_weight=0.05),
    ),
)

train_dataloader = dict(batch_size=4)
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=20)
optim_wrapper = dict(type='mmspd.OptimWrapper', optimizer=dict(type='Adam', lr=2e-4))
param_scheduler = [
    dict(
        type='mmengine.LinearLR',
        start_factor=1 / warmup_epochs,
        end=warmup_epochs,
        by_epoch=True,
    ),
    dict(
        type='mmengine.CosineAnnealingLR',
        T_max=max_epochs - warmup_epochs,
        eta_min=1e-6,
        begin=warmup_epochs,
        end=max_epochs,
        by_epoch=True,
    ),
]
auto_scale_lr = dict(base_batch_size=16)
