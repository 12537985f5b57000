# The paper's teacher: TResNet-L, levels layer1, layer2 and layer3 at strides 4/8/16 of an image
# enlarged twice. RGB / 255, no ImageNet statistics. MMSPD_TEACHER names a weights file; without
# it timm downloads ImageNet's when training starts. The paper's own are ASL's of OpenImages
# (Open_ImagesV6_TRresNet_L_448.pth); their layout is converted by
#   python tools/model_converters/asl_tresnet2timm.py IN checkpoints/tresnet_l_openimages.pth
tresnet_l = dict(
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
