# LPIPS v0.1 by both of its usual backbones: lower is better, and the two cannot be compared. The
# variables name files in torchvision's layout, for machines without a network; see
# tools/model_converters/lpips_jax2torchvision.py.
lpips_metrics = [
    dict(type='mmspd.LPIPS', net='alex', weights='{{$MMSPD_LPIPS_ALEX:torchvision}}'),
    dict(type='mmspd.LPIPS', net='vgg', weights='{{$MMSPD_LPIPS_VGG:torchvision}}'),
    dict(type='mmspd.BlurSeverity'),
]
