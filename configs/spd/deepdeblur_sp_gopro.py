_base_ = ['./deepdeblur_gopro.py', '../_base_/teachers/tresnet_l.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(
        _delete_=True,
        type='mmspd.SemanticGuided',
        restorer=_base_.model.generator,
        prior=dict(type='mmspd.SPL'),
        embedding=dict(type='mmspd.SPE'),
    ),
    teacher=_base_.tresnet_l,
    # 0.1 beside an L1 on [0, 1], as in the other recipes; this one's is on 0..255
    prior_loss=dict(type='mmspd.PriorDistillationLoss', loss_weight=25.5),
)
