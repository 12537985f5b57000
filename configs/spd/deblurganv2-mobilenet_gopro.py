# DeblurGAN-v2 (MobileNet) with two discriminators and the relativistic loss of its paper.
# Download mobilenet_v2.pth.tar (ImageNet) of tonylins/pytorch-mobilenet-v2 to checkpoints/.
_base_ = './deblurganv2_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(backbone='MobileNetV2', weights='checkpoints/mobilenet_v2.pth.tar'),
)
