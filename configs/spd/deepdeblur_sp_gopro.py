_base_ = ['./deepdeblur_gopro.py', '../_base_/semantic_prior.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(_delete_=True, restorer=_base_.model.generator, **_base_.guided),
    teacher=_base_.tresnet_l,
    # 0.1 beside an L1 on [0, 1], as in the other recipes; this one's is on 0..255
    prior_loss=dict(_base_.prior_loss, loss_weight=25.5),
)
