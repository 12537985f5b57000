"""The semantic prior embedding layer: it fuses the prior into a restorer."""

from mmspd.models.embeddings.fusion import SAT, AddFusion, ConcatFusion
from mmspd.models.embeddings.mla import MLA
from mmspd.models.embeddings.spe import SPE

__all__ = ['MLA', 'SAT', 'SPE', 'AddFusion', 'ConcatFusion']
