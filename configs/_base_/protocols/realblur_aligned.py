# Metrics of the published RealBlur results. First the brightness of each image is fitted, and a
# homography aligns the image with the sharp image. This takes about 2 s per image and process. The
# values depend on the version of OpenCV.
realblur_aligned_metrics = [
    dict(type='mmspd.RealBlurAligned', workers=4),
    dict(type='mmspd.PSNR', report_input=True),
    dict(type='mmspd.BlurSeverity'),
]
