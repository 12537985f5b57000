# TResNet-L of ImageNet: layer1, layer2 and layer3 at strides 4/8/16 of an image enlarged twice.
# RGB / 255, no ImageNet statistics. MMSPD_TEACHER names a weights file; without it timm downloads
# them when training starts.
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
    scale=2,
)
