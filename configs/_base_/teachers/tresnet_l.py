# TResNet-L trained on ImageNet. layer1, layer2 and layer3 have strides 4, 8 and 16, twice those of
# the prior. The input is RGB / 255, without ImageNet statistics. Set MMSPD_TEACHER to a weights
# file; otherwise timm downloads the weights when training starts.
teacher = dict(
    type='mmspd.FeatureTeacher',
    backbone=dict(
        type='mmpretrain.TIMMBackbone',
        model_name='tresnet_l',
        features_only=True,
        out_indices=(1, 2, 3),
    ),
    channels=(76, 152, 1216),
    weights='{{$MMSPD_TEACHER:timm}}',
    mean=[0.0, 0.0, 0.0],
    std=[255.0, 255.0, 255.0],
    scale=1,
)
