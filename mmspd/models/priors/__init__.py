"""The semantic prior learning branch: it extracts the prior from the blurry image."""

from mmspd.models.priors.clc import CLC
from mmspd.models.priors.extractors import BackboneExtractor, ConvExtractor
from mmspd.models.priors.segmap import SegmapSPL
from mmspd.models.priors.spl import SPL

__all__ = ['CLC', 'SPL', 'BackboneExtractor', 'ConvExtractor', 'SegmapSPL']
