# Fig. 7: the prior is the most likely class of each pixel in a segmentation map.
# As in the paper, the network that predicts the map is separate: only the teacher trains it.
_base_ = [
    '../unet_gopro.py',
    '../../_base_/semantic_prior.py',
    '../../_base_/teachers/espnetv2_segmap.py',
]

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(
        _base_.guided,
        _delete_=True,
        restorer=_base_.model.generator,
        prior=dict(
            type='mmspd.SegmapSPL',
            extractor=_base_.guided.prior.extractor,
            num_classes=_base_.teacher.channels[0],
            form='onehot',
        ),
        detach_prior=True,
    ),
    teacher=dict(_base_.teacher, form='onehot'),
    prior_loss=dict(type='mmspd.SegmapDistillationLoss', loss_weight=_base_.prior_loss.loss_weight),
)
