"""Networks, losses and the trained model."""

from mmspd.models import restorers
from mmspd.models.adversarial import AdversarialDeblurrer
from mmspd.models.data_preprocessor import DataPreprocessor
from mmspd.models.deblurrer import SemanticPriorDeblurrer
from mmspd.models.discriminator import PatchDiscriminator
from mmspd.models.embeddings import MLA, SAT, SPE, AddFusion, ConcatFusion
from mmspd.models.guided import SemanticGuided
from mmspd.models.losses import (
    EdgeLoss,
    FrequencyLoss,
    HCLLoss,
    ImageNetMSELoss,
    PriorDistillationLoss,
    RelativisticLoss,
    SegmapDistillationLoss,
    VGGLoss,
)
from mmspd.models.priors import CLC, SPL, BackboneExtractor, ConvExtractor, SegmapSPL
from mmspd.models.seams import HookSeams, no_fuse
from mmspd.models.teachers import ESPNetv2, ESPNetv2Backbone, FeatureTeacher, SegmapTeacher

__all__ = [
    'CLC',
    'MLA',
    'SAT',
    'SPE',
    'SPL',
    'AddFusion',
    'AdversarialDeblurrer',
    'BackboneExtractor',
    'ConcatFusion',
    'ConvExtractor',
    'DataPreprocessor',
    'ESPNetv2',
    'ESPNetv2Backbone',
    'EdgeLoss',
    'FeatureTeacher',
    'FrequencyLoss',
    'HCLLoss',
    'HookSeams',
    'ImageNetMSELoss',
    'PatchDiscriminator',
    'PriorDistillationLoss',
    'RelativisticLoss',
    'SegmapDistillationLoss',
    'SegmapSPL',
    'SegmapTeacher',
    'SemanticGuided',
    'SemanticPriorDeblurrer',
    'VGGLoss',
    'no_fuse',
    'restorers',
]
