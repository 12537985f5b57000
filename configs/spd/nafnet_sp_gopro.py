# NAFNet with the distilled prior and a narrow F_S.
# The gradients of the restorer are clipped apart from those of the prior, as in the plain recipe.
_base_ = ['./nafnet_gopro.py', '../_base_/semantic_prior.py', '../_base_/teachers/tresnet_l.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(
        _delete_=True,
        restorer=_base_.model.generator,
        seams=['decoders.1', 'decoders.2', 'decoders.3'],  # strides 4, 2 and 1
        **_base_.guided_light,
    ),
    teacher=_base_.teacher,
    prior_loss=_base_.prior_loss,
)
