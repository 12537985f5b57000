# LPIPS v0.1 with its two usual backbones. Lower is better. Do not compare values of the two.
# torchvision downloads the weights at the first use. Files of the same layout also work; see
# tools/model_converters/lpips_jax2torchvision.py.
lpips_metrics = [
    dict(type='mmspd.LPIPS', net='alex', weights='torchvision'),
    dict(type='mmspd.LPIPS', net='vgg', weights='torchvision'),
    dict(type='mmspd.BlurSeverity'),
]
