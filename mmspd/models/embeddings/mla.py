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
    r"""Multi-level aggregation: merges all levels of the prior into one level (Eq. 5).

    For the aggregation into level i, the other levels are resized to the size of level i.

    .. math::
        M_{pri}^i = conv(cat(f_{pri}^i, f_{pri}^t)) \otimes f_{pri}^i + f_{pri}^i,
        \quad t \in \{1, ..., L\}, t \neq i

    Args:
        channels: Channels of f_pri^1 ... f_pri^L.
        level: Index of the aggregated level, 0 for the finest.
        gate: Activation of the attention map, ``None`` or ``'sigmoid'``.

    Raises:
        UserError: ``gate`` is unknown.

    Examples:
        >>> import torch
        >>> from mmspd.models.embeddings import MLA
        >>> mla = MLA(channels=(16, 16), level=1)
        >>> mla([torch.rand(1, 16, 32, 48), torch.rand(1, 16, 16, 24)]).shape
        torch.Size([1, 16, 16, 24])
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
            prior: The levels f_pri^1 ... f_pri^L, each ``(N, C_i, H_i, W_i)``, fine to coarse.

        Returns:
            The aggregated prior M_pri of level i, ``(N, C_i, H_i, W_i)``.
        """
        own = prior[self.level]
        others = [
            F.interpolate(other, size=own.shape[-2:], mode='bilinear', align_corners=False)
            for t, other in enumerate(prior)
            if t != self.level
        ]
        attention = apply_gate(self.conv(torch.cat([own, *others], dim=1)), self.gate)
        return torch.addcmul(own, attention, own)
