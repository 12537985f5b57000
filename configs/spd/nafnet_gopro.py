# MMagic's NAFNet of width 32 with the authors' recipe: 200k iterations of 8 GPUs x 4.
# Here these iterations are 381 epochs of the data set, which is repeated 8 times. Unlike this
# config, MMagic's config trains on BGR and does not clip gradients. The crops come from whole
# images; the authors first cut the images into patches of 512 pixels, 256 pixels apart. As in the
# authors' code, the network is NAFNetLocal. It has the weights of NAFNet, but at test time local
# windows of 1.5 times the training crop replace the global pools. All published numbers use
# NAFNetLocal; the PSNR of the two networks differs by about 0.6 dB.
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/gopro.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    type='mmspd.SemanticPriorDeblurrer',
    generator=dict(
        type='mmagic.NAFNetLocal',
        train_size=(1, 3, 256, 256),
        img_channels=3,
        mid_channels=32,
        enc_blk_nums=[1, 1, 1, 28],
        middle_blk_num=1,
        dec_blk_nums=[1, 1, 1, 1],
    ),
    losses=dict(loss_psnr=dict(type='mmagic.PSNRLoss')),
)

train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        _delete_=True,
        type='mmengine.RepeatDataset',
        times=8,
        dataset=_base_.train_dataloader.dataset,
    ),
)
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=381, val_interval=10)
optim_wrapper = dict(
    type='mmspd.OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.9), weight_decay=1e-3),
    clip_grad=dict(max_norm=0.01),
)
param_scheduler = dict(
    type='mmengine.CosineAnnealingLR',
    eta_min=1e-7,
    by_epoch=True,
    convert_to_iter_based=True,
)
auto_scale_lr = dict(base_batch_size=32)
