# Features of the encoder of the segmentation network in espnetv2_segmap.py. The image is enlarged
# by 2, as for tresnet_l_openimages.py, with which it is compared.
_base_ = './espnetv2_segmap.py'

teacher = dict(
    _delete_=True,
    type='mmspd.FeatureTeacher',
    backbone=dict(type='mmspd.ESPNetv2Backbone', out_indices=(1, 2, 3)),
    channels=(128, 256, 512),
    weights=_base_.teacher.weights,
    mean=_base_.teacher.mean,
    std=_base_.teacher.std,
    scale=2,
)
