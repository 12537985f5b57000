# MIMOUNETPLUS names published weights to start from, as in mimounetplus_sp_gopro.py.
_base_ = ['./mimounetplus_realblur-j.py', '../_base_/semantic_prior.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(_delete_=True, restorer=_base_.model.generator, **_base_.guided),
    load_official='{{$MIMOUNETPLUS:none}}',
    teacher=_base_.tresnet_l,
    prior_loss=_base_.prior_loss,
)
