# What the GoPro and HIDE tables of the literature state: PSNR of 8-bit RGB and MATLAB's 3-D SSIM,
# per image; and the 2-D SSIM, which is lower for the same images.
gopro_metrics = [
    dict(type='mmspd.PSNR', report_input=True),
    dict(type='mmspd.SSIM', mode='matlab'),
    dict(type='mmspd.SSIM', mode='2d'),
    dict(type='mmspd.BlurSeverity'),
]
