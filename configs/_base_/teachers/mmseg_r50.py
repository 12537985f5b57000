# Backbone of a segmentation network: ResNetV1c-50 of DeepLabV3+ in mmseg. Set MMSPD_TEACHER to a
# checkpoint of the segmentation network; its keys backbone.* are used. The third stage has stride 2
# in place of a dilation, so its features have stride 16. The stride does not change the shapes of
# the weights.
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
    scale=1,
)
