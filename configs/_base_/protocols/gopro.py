# Metrics of the published GoPro and HIDE results, per image: PSNR of 8-bit RGB and the 3-D SSIM of
# MATLAB. The 2-D SSIM is added; it is lower for the same images.
gopro_metrics = [
    dict(type='mmspd.PSNR', report_input=True),
    dict(type='mmspd.SSIM', mode='matlab'),
    dict(type='mmspd.SSIM', mode='2d'),
    dict(type='mmspd.BlurSeverity'),
]
