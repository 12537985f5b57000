# Fig. 7: the prior is features of a segmentation network.
_base_ = [
    '../unet_gopro.py',
    '../../_base_/semantic_prior.py',
    '../../_base_/teachers/espnetv2_features.py',
]

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(_delete_=True, restorer=_base_.model.generator, **_base_.guided),
    teacher=_base_.teacher,
    prior_loss=dict(_base_.prior_loss, normalize=False),
)
