# A light segmentation network trained on street scenes (Cityscapes, 20 classes): its map, and the
# features of its encoder. Fetch the weights, 3 MB, into checkpoints/ from
#   https://github.com/sacmehta/EdgeNets/tree/master/model/segmentation/model_zoo/espnetv2
# or let MMSPD_TEACHER name the file.
espnetv2_segmap = dict(
    type='mmspd.SegmapTeacher',
    segmentor=dict(type='mmspd.ESPNetv2', num_classes=20),
    channels=(20, 20, 20),
    weights='{{$MMSPD_TEACHER:checkpoints/espnetv2_s_2.0_city_1024x512.pth}}',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)
espnetv2_features = dict(
    type='mmspd.FeatureTeacher',
    backbone=dict(type='mmspd.ESPNetv2Backbone', out_indices=(1, 2, 3)),
    channels=(128, 256, 512),
    weights='{{$MMSPD_TEACHER:checkpoints/espnetv2_s_2.0_city_1024x512.pth}}',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    scale=2,
)
