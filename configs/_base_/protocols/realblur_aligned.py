# What the RealBlur tables state: each image's brightness is fitted and a homography aligns it with
# the sharp one first. About 2 s per image and process; the numbers depend on OpenCV's version.
realblur_aligned_metrics = [
    dict(type='mmspd.RealBlurAligned', workers=4),
    dict(type='mmspd.PSNR', report_input=True),
    dict(type='mmspd.BlurSeverity'),
]
