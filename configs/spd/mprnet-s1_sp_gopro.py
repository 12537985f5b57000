_base_ = ['./mprnet-s1_gopro.py', '../_base_/teachers/tresnet_l.py']

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
    prior_loss=dict(type='mmspd.PriorDistillationLoss', loss_weight=0.1),
)
