# What guided variants share: a prior branch of the restorer's size, EfficientNet-Lite0 as teacher.
_base_ = '../../../configs/_base_/teachers/efficientnet_lite0.py'

checkpoints = 'checkpoints'  # folder of the teachers' weights
guided = dict(
    type='mmspd.SemanticGuided',
    prior=dict(
        type='mmspd.SPL',
        extractor=dict(type='mmspd.ConvExtractor', width=32, num_blocks=(1, 2, 3)),
    ),
    embedding=dict(type='mmspd.SPE'),
)
teacher = dict(weights=f'{checkpoints}/tf_efficientnet_lite0.pth')
# raw features, as the paper prints it; the variant 'normalised' is trained as mmspd's recipes are
prior_loss = dict(type='mmspd.PriorDistillationLoss', loss_weight=0.1, normalize=False)
