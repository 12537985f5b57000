# Metrics for photos without sharp images. Lower values of both metrics are better. The metrics do
# not measure whether the restored details are true. When you compare restorers with these metrics,
# also look at the images.
no_reference_metrics = [
    dict(type='mmspd.BlurEffect', report_input=True),
    dict(type='mmspd.NIQE', report_input=True),
]
