# DeblurGAN-v2 (Inception) with the distilled prior, trained against the same discriminators.
_base_ = [
    './deblurganv2_gopro.py',
    '../_base_/semantic_prior.py',
    '../_base_/teachers/tresnet_l.py',
]

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(_delete_=True, restorer=_base_.model.generator, **_base_.guided),
    teacher=_base_.teacher,
    prior_loss=_base_.prior_loss,
)
