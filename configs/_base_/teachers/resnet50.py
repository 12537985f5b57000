# ResNet-50 trained on ImageNet. Its first three stages have strides 4, 8 and 16, twice those
# of the prior.
teacher = dict(
    type='mmspd.FeatureTeacher',
    backbone=dict(
        type='mmpretrain.ResNet',
        depth=50,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
    ),
    channels=(256, 512, 1024),
    weights='{{$MMSPD_TEACHER:torchvision://resnet50}}',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    scale=1,
)
