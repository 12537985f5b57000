"""Training losses that MMagic lacks or implements incorrectly."""

from mmspd.models.losses.edge import EdgeLoss
from mmspd.models.losses.frequency import FrequencyLoss
from mmspd.models.losses.hcl import HCLLoss, PriorDistillationLoss
from mmspd.models.losses.segmap import SegmapDistillationLoss
from mmspd.models.losses.vgg import VGGLoss

__all__ = [
    'EdgeLoss',
    'FrequencyLoss',
    'HCLLoss',
    'PriorDistillationLoss',
    'SegmapDistillationLoss',
    'VGGLoss',
]
