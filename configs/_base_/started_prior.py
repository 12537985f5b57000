# What recipes share whose F_S starts from another task's weights and then learns with the restorer
# alone, without a teacher: EfficientNet-Lite0's first four stages, ImageNet weights.
_base_ = './teachers/efficientnet_lite0.py'

started = dict(
    type='mmspd.SemanticGuided',
    prior=dict(
        type='mmspd.SPL',
        normalise=True,
        extractor=dict(
            type='mmspd.BackboneExtractor',
            backbone=_base_.efficientnet_lite0.backbone,
            weights=_base_.efficientnet_lite0.weights,
            mean=_base_.efficientnet_lite0.mean,
            std=_base_.efficientnet_lite0.std,
            scale=_base_.efficientnet_lite0.scale,
        ),
    ),
    embedding=dict(type='mmspd.SPE'),
)
