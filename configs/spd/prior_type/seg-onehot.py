# Fig. 7: the most likely classes of a segmentation map as the prior.
_base_ = ['../unet_sp_gopro.py', '../../_base_/teachers/espnetv2.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(
        prior=dict(
            _delete_=True,
            type='mmspd.SegmapSPL',
            num_classes=_base_.espnetv2_segmap.channels[0],
            form='onehot',
        )
    ),
    teacher=dict(_delete_=True, form='onehot', **_base_.espnetv2_segmap),
    prior_loss=dict(type='mmspd.SegmapDistillationLoss'),
)
