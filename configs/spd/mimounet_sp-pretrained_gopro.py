_base_ = ['./mimounet_gopro.py', '../_base_/pretrained_prior.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(_delete_=True, restorer=_base_.model.generator, **_base_.pretrained),
)
