# The backbone of a segmentation network: ResNetV1c-50 of mmseg's DeepLabV3+. MMSPD_TEACHER names
# a checkpoint of the segmentor (its backbone.* is used). The third stage steps by 2 instead of
# being dilated, so that its level lies at stride 16; the weights have the same shapes.
teacher = dict(
    type='mmspd.FeatureTeacher',
    backbone=dict(
        type='mmseg.ResNetV1c',
        depth=50,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        norm_cfg=dict(type='BN'),
        style='pytorch',
    ),
    channels=(256, 512, 1024),
    weights='{{$MMSPD_TEACHER:open-mmlab://resnet50_v1c}}',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    scale=2,
)
