# For photos without sharp images. Lower is better in both, and neither says that what was restored
# is what was there: compare restorers with it, and look at the pictures.
no_reference_metrics = [
    dict(type='mmspd.BlurEffect', report_input=True),
    dict(type='mmspd.NIQE', report_input=True),
]
