_base_ = ['./mssnet_gopro.py', '../_base_/teachers/tresnet_l.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(
        _delete_=True,
        type='mmspd.SemanticGuided',
        restorer=_base_.model.generator,
        # the last U-Net of each scale; without at, all six take the prior
        at=[
            *['D1_1.dec3', 'D1_1.dec2', 'D1_1.dec1'],
            *['D2_2.dec3', 'D2_2.dec2', 'D2_2.dec1'],
            *['D3_3.dec3', 'D3_3.dec2', 'D3_3.dec1'],
        ],
        prior=dict(type='mmspd.SPL'),
        embedding=dict(type='mmspd.SPE'),
    ),
    teacher=_base_.tresnet_l,
    prior_loss=dict(type='mmspd.PriorDistillationLoss', loss_weight=0.1),
)
