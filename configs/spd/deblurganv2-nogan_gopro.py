# DeblurGAN-v2 (Inception) trained with its content loss only, without discriminators.
# The official training data are GoPro, DVD and NFS. Of the official augmentations, this recipe has
# the crop, the horizontal flip and the transposition; of the corruptions of the blurry image, it
# has JPEG, with a quality of our choice. It lacks: shift, scale and rotation, optical and elastic
# distortion; cutout, motion blur, median blur, gamma, shifts of RGB and HSV, and sharpening.
# Download inceptionresnetv2-520b38e4.pth (ImageNet) to checkpoints/, or start from other weights
# with model.load_official and model.generator.weights=random.
# Test whole images: tiles change the statistics of the normalizations. The published PSNR is that
# of truncated 8-bit images, so tests truncate too. The published SSIM is another kind, CW-SSIM.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/gopro.py',
    '../_base_/protocols/gopro_truncated.py',
]

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    type='mmspd.SemanticPriorDeblurrer',
    generator=dict(
        type='mmspd.DeblurGANv2',
        backbone='InceptionResNetV2',
        weights='checkpoints/inceptionresnetv2-520b38e4.pth',
    ),
    losses=dict(
        loss_pix=dict(type='mmspd.ImageNetMSELoss', loss_weight=0.5),
        loss_vgg=dict(type='mmspd.VGGLoss', weights='torchvision', loss_weight=0.006),
    ),
)

train_dataloader = dict(
    batch_size=1,
    dataset=dict(
        pipeline=[
            dict(type='mmspd.LoadImagePair'),
            dict(type='mmagic.PairedRandomCrop', gt_patch_size=256),
            dict(
                type='mmagic.RandomJPEGCompression',
                params=dict(quality=[70, 90], prob=0.5),
                keys=['img'],
                bgr2rgb=True,
            ),
            dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='horizontal'),
            dict(type='mmagic.RandomTransposeHW', keys=['img', 'gt'], transpose_ratio=0.5),
            dict(type='mmspd.PackInputs', meta_keys=['key', 'severity']),
        ]
    ),
)
# 95 epochs of 2103 images; officially, 200 epochs of 1000 images
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=95, val_interval=5)
optim_wrapper = dict(type='mmspd.OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))
# The rate falls from step 50,000 on, and ends near a quarter of its first value, because the
# official slope is divided by all 200,000 steps: 1 - 0.999 * 149,999 / 200,000.
param_scheduler = dict(
    type='mmengine.LinearLR',
    by_epoch=False,
    begin=50_000,
    end=200_000,
    start_factor=1.0,
    end_factor=0.250755,
)
default_hooks = dict(freeze=dict(type='mmspd.FreezeBackboneHook', iterations=3000))
auto_scale_lr = dict(base_batch_size=1)

protocol = 'gopro-truncated'
test_evaluator = dict(type='mmengine.Evaluator', metrics=_base_.gopro_truncated_metrics)
