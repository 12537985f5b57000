# The tiny guided restorer with a teacher of random weights and normalized features.
_base_ = './guided.py'

model = dict(
    teacher=dict(
        type='mmspd.FeatureTeacher',
        channels=(8, 16, 32),
        weights='random',
        scale=2,
        backbone=dict(
            type='mmpretrain.ResNet',
            depth=18,
            stem_channels=4,
            base_channels=8,
            out_indices=(0, 1, 2),
        ),
    ),
    prior_loss=dict(type='mmspd.PriorDistillationLoss', normalize=True),
)
