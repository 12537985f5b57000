# UNet with a prior that starts from ImageNet weights and has no teacher.
_base_ = ['./unet_gopro.py', '../_base_/pretrained_prior.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(_delete_=True, restorer=_base_.model.generator, **_base_.pretrained),
)
