"""CLC: the cross-level connection of the semantic prior learning branch (Eq. 3)."""

from typing import List, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.models.layers.gate import apply_gate, check_gate
from mmspd.registry import MODELS

__all__ = ['CLC']


@MODELS.register_module()
class CLC(nn.Module):
    r"""Cross-level connection: adds the semantics of the next deeper level to each level (Eq. 3).

    The levels i = 1 ... L run from fine to coarse; m^i are the features of the extractor F_S.

    .. math::
        f_{att}^i = conv(cat(m^i, m_\uparrow^{i+1})), \quad
        f_{pri}^i = f_{att}^i \otimes m^i + f_{att}^i \otimes m_\uparrow^{i+1}, \quad
        f_{pri}^L = m^L

    The arrow stands for a 1x1 convolution to the channels of m^i and a bilinear enlargement to the
    size of m^i. The convolution runs first, because at the lower resolution it costs only a
    quarter. The order does not change the result.

    Args:
        channels: Channels of m^1 ... m^L.
        gate: Activation of the attention map: ``None`` as in the equation, or ``'sigmoid'`` as in
            ReviewKD (the paper's reference [30]), whose attention module inspired CLC.

    Raises:
        UserError: ``gate`` is unknown.

    Examples:
        >>> import torch
        >>> from mmspd.models.priors import CLC
        >>> clc = CLC(channels=(16, 16))
        >>> prior = clc([torch.rand(1, 16, 32, 48), torch.rand(1, 16, 16, 24)])
        >>> [tuple(level.shape) for level in prior]
        [(1, 16, 32, 48), (1, 16, 16, 24)]
    """

    def __init__(self, channels: Sequence[int], gate: Optional[str] = None) -> None:
        super().__init__()
        self.gate = check_gate(gate)
        pairs = list(zip(channels[:-1], channels[1:]))
        self.ups = nn.ModuleList(nn.Conv2d(deep, own, 1) for own, deep in pairs)
        self.attentions = nn.ModuleList(nn.Conv2d(own * 2, own, 3, padding=1) for own, _ in pairs)

    def forward(self, features: Sequence[Tensor]) -> List[Tensor]:
        """Connect the levels.

        Args:
            features: The levels m^1 ... m^L, each ``(N, C_i, H_i, W_i)``, fine to coarse.

        Returns:
            The prior f_pri^1 ... f_pri^L, of the same shapes.
        """
        prior = []
        for i, (up, attention) in enumerate(zip(self.ups, self.attentions)):
            own = features[i]
            deep = F.interpolate(
                up(features[i + 1]), size=own.shape[-2:], mode='bilinear', align_corners=False
            )
            att = apply_gate(attention(torch.cat([own, deep], dim=1)), self.gate)
            prior.append(att * (own + deep))
        return [*prior, features[-1]]
