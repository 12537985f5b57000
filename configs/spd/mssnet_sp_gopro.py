# MSSNet with the distilled prior in the last U-Net of each scale.
_base_ = ['./mssnet_gopro.py', '../_base_/semantic_prior.py', '../_base_/teachers/tresnet_l.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(
        _delete_=True,
        restorer=_base_.model.generator,
        # the last U-Net of each scale; by default, all six U-Nets take the prior
        seams=[
            *['D1_1.dec3', 'D1_1.dec2', 'D1_1.dec1'],
            *['D2_2.dec3', 'D2_2.dec2', 'D2_2.dec1'],
            *['D3_3.dec3', 'D3_3.dec2', 'D3_3.dec1'],
        ],
        **_base_.guided,
    ),
    teacher=_base_.teacher,
    prior_loss=_base_.prior_loss,
)
