_base_ = ['./restormer_gopro.py', '../_base_/teachers/tresnet_l.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(
        _delete_=True,
        type='mmspd.SemanticGuided',
        restorer=_base_.model.generator,
        # strides 4, 2 and 1
        at=['decoder_level3', 'decoder_level2', 'decoder_level1'],
        prior=dict(type='mmspd.SPL'),
        embedding=dict(type='mmspd.SPE'),
    ),
    teacher=_base_.tresnet_l,
    prior_loss=dict(type='mmspd.PriorDistillationLoss', loss_weight=0.1),
)
