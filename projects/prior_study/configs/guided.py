# What guided variants share: a prior branch of the restorer's size, EfficientNet-Lite0 as teacher.
_base_ = '../../../configs/_base_/teachers/efficientnet_lite0.py'

guided = dict(
    type='mmspd.SemanticGuided',
    prior=dict(
        type='mmspd.SPL',
        extractor=dict(type='mmspd.ConvExtractor', width=32, num_blocks=(1, 2, 3)),
    ),
    embedding=dict(type='mmspd.SPE'),
)
teacher = dict(weights='checkpoints/tf_efficientnet_lite0.pth')
# as the paper prints it; the variant 'normalised' has what the recipes of configs/spd have
prior_loss = dict(type='mmspd.PriorDistillationLoss', loss_weight=0.1, normalize=False)
