# MIMO-UNet with the distilled prior: normalized features of TResNet-L (ImageNet weights).
_base_ = ['./mimounet_gopro.py', '../_base_/semantic_prior.py', '../_base_/teachers/tresnet_l.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(_delete_=True, restorer=_base_.model.generator, **_base_.guided),
    teacher=_base_.teacher,
    prior_loss=_base_.prior_loss,
)
