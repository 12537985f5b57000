# The small UNet with the distilled prior: Net6 of the study.
_base_ = ['./unet.py', './guided.py']

model = dict(
    generator=dict(_delete_=True, restorer=_base_.model.generator, **_base_.guided),
    teacher=_base_.teacher,
    prior_loss=_base_.prior_loss,
)
