# Metrics of the protocol gopro for predictions that are truncated to 8 bits instead of rounded. The
# published results of SRN, PSS-NSC and DeblurGAN-v2 are measured in this way. A recipe uses it with
#     test_evaluator = dict(type='mmengine.Evaluator', metrics=_base_.gopro_truncated_metrics)
#     protocol = 'gopro-truncated'
gopro_truncated_metrics = [
    dict(type='mmspd.PSNR', report_input=True, rounding='truncate'),
    dict(type='mmspd.SSIM', mode='matlab', rounding='truncate'),
    dict(type='mmspd.SSIM', mode='2d', rounding='truncate'),
    dict(type='mmspd.BlurSeverity', rounding='truncate'),
]
