# Metrics for photos without sharp images. Lower is better for both. They do not measure whether the
# restored details are true, so compare restorers with them and also look at the images.
no_reference_metrics = [
    dict(type='mmspd.BlurEffect', report_input=True),
    dict(type='mmspd.NIQE', report_input=True),
]
