# Segmentation map of a light network trained on street scenes (Cityscapes, 20 classes). Download
# the weights (3 MB) to checkpoints/ from
#   https://github.com/sacmehta/EdgeNets/tree/master/model/segmentation/model_zoo/espnetv2
# or set MMSPD_TEACHER to the file.
teacher = dict(
    type='mmspd.SegmapTeacher',
    segmentor=dict(type='mmspd.ESPNetv2', num_classes=20),
    channels=(20, 20, 20),
    weights='{{$MMSPD_TEACHER:checkpoints/espnetv2_s_2.0_city_1024x512.pth}}',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)
