# mimounet_photos.py with the distilled prior. The teacher is EfficientNet-Lite0, whose weights are
# installed with mmspd. For another teacher, replace the last base by another file of that folder.
_base_ = [
    './mimounet_photos.py',
    '../_base_/semantic_prior.py',
    '../_base_/teachers/efficientnet_lite0.py',
]

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(_delete_=True, restorer=_base_.model.generator, **_base_.guided),
    teacher=_base_.teacher,
    prior_loss=_base_.prior_loss,
)
