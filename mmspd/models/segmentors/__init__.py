"""Segmentation networks that other projects do not have."""

from mmspd.models.segmentors.espnetv2 import ESPNetv2, ESPNetv2Backbone

__all__ = ['ESPNetv2', 'ESPNetv2Backbone']
