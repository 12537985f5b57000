# What recipes share whose F_S starts from another task's weights and then learns with the restorer
# alone, without a teacher: EfficientNet-Lite0 up to stride 16, ImageNet weights. Their file is made
# as teachers/efficientnet_lite0.py says; MMSPD_PRIOR names it if it is elsewhere.
_base_ = './teachers/efficientnet_lite0.py'

pretrained = dict(
    type='mmspd.SemanticGuided',
    prior=dict(
        type='mmspd.SPL',
        normalize=True,
        extractor=dict(
            type='mmspd.BackboneExtractor',
            backbone=_base_.efficientnet_lite0.backbone,
            weights='{{$MMSPD_PRIOR:checkpoints/tf_efficientnet_lite0.pth}}',
            mean=_base_.efficientnet_lite0.mean,
            std=_base_.efficientnet_lite0.std,
            scale=_base_.efficientnet_lite0.scale,
        ),
    ),
    embedding=dict(type='mmspd.SPE'),
)
