"""Training losses that MMagic lacks or implements incorrectly."""

from mmspd.models.losses.edge import EdgeLoss
from mmspd.models.losses.frequency import FrequencyLoss
from mmspd.models.losses.hcl import HCLLoss, PriorDistillationLoss
from mmspd.models.losses.imagenet_mse import ImageNetMSELoss
from mmspd.models.losses.relativistic import RelativisticLoss
from mmspd.models.losses.segmap import SegmapDistillationLoss
from mmspd.models.losses.vgg import VGGLoss

__all__ = [
    'EdgeLoss',
    'FrequencyLoss',
    'HCLLoss',
    'ImageNetMSELoss',
    'PriorDistillationLoss',
    'RelativisticLoss',
    'SegmapDistillationLoss',
    'VGGLoss',
]
