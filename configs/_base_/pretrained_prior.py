# What recipes share whose F_S starts from another task's weights and then learns with the restorer
# alone, without a teacher: EfficientNet-Lite0 up to stride 16, ImageNet weights. Their file is made
# as teachers/efficientnet_lite0.py says.
_base_ = ['./semantic_prior.py', './teachers/efficientnet_lite0.py']

pretrained = dict(
    _base_.guided,
    prior=dict(
        _base_.guided.prior,
        normalize=True,
        extractor=dict(
            type='mmspd.BackboneExtractor',
            width=48,
            backbone=_base_.teacher.backbone,
            weights='checkpoints/tf_efficientnet_lite0.pth',
            mean=_base_.teacher.mean,
            std=_base_.teacher.std,
            scale=_base_.teacher.scale,
        ),
    ),
)
