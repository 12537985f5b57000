"""Teachers: frozen high-level vision networks F_P that take the sharp image."""

from mmspd.models.teachers.espnetv2 import ESPNetv2, ESPNetv2Backbone
from mmspd.models.teachers.feature_teacher import FeatureTeacher
from mmspd.models.teachers.segmap_teacher import SegmapTeacher

__all__ = ['ESPNetv2', 'ESPNetv2Backbone', 'FeatureTeacher', 'SegmapTeacher']
