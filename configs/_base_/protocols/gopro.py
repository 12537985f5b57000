# Metrics of the published GoPro and HIDE results, per image: PSNR of 8-bit RGB and MATLAB's 3-D
# SSIM. This protocol also measures the 2-D SSIM, which is lower than the 3-D SSIM of the same
# image.
gopro_metrics = [
    dict(type='mmspd.PSNR', report_input=True),
    dict(type='mmspd.SSIM', mode='matlab'),
    dict(type='mmspd.SSIM', mode='2d'),
    dict(type='mmspd.BlurSeverity'),
]
