# LPIPS v0.1 by both of its usual backbones: lower is better, and the two cannot be compared. Their
# weights are torchvision's, downloaded at the first use; or files of the same layout, see
# tools/model_converters/lpips_jax2torchvision.py.
lpips_metrics = [
    dict(type='mmspd.LPIPS', net='alex', weights='torchvision'),
    dict(type='mmspd.LPIPS', net='vgg', weights='torchvision'),
    dict(type='mmspd.BlurSeverity'),
]
