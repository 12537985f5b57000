"""MLA: the multi-level aggregation of the semantic prior embedding layer (Eq. 5)."""

from typing import Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.models.layers.gate import apply_gate, check_gate
from mmspd.registry import MODELS

__all__ = ['MLA']


@MODELS.register_module()
class MLA(nn.Module):
    r"""Multi-level aggregation: one level of the prior, merged with what the others know.

    Eq. 5, with all levels resized to the size of level i:

    .. math::
        M_{pri}^i = conv(cat(f_{pri}^i, f_{pri}^t)) \otimes f_{pri}^i + f_{pri}^i,
        \quad t \in \{1, ..., L\}, t \neq i

    Args:
        channels: channels of f_pri^1 ... f_pri^L.
        level: index of the level that is aggregated, 0 the finest.
        gate: activation of the attention map, ``None`` or ``'sigmoid'``.
    """

    def __init__(
        self,
        channels: Sequence[int],
        level: int,
        gate: Optional[str] = None,
    ) -> None:
        super().__init__()
        self.level = level
        self.gate = check_gate(gate)
        self.conv = nn.Conv2d(sum(channels), channels[level], 3, padding=1)

    def forward(self, prior: Sequence[Tensor]) -> Tensor:
        """Aggregate the prior.

        Args:
            prior: f_pri^1 ... f_pri^L, each ``(N, C_i, H_i, W_i)``, fine to coarse.

        Returns:
            M_pri of this level, ``(N, C_i, H_i, W_i)``.
        """
        own = prior[self.level]
        others = [
            F.interpolate(other, size=own.shape[-2:], mode='bilinear', align_corners=False)
            for t, other in enumerate(prior)
            if t != self.level
        ]
        attention = apply_gate(self.conv(torch.cat([own, *others], dim=1)), self.gate)
        return torch.addcmul(own, attention, own)
