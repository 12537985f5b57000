"""EdgeLoss: the edge term of MPRNet."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.registry import MODELS

__all__ = ['EdgeLoss']

BINOMIAL = (0.05, 0.25, 0.4, 0.25, 0.05)


@MODELS.register_module()
class EdgeLoss(nn.Module):
    r"""Charbonnier distance of the edges of two images, as MPRNet's official code computes it.

    .. math:: mean \sqrt{(\Delta(pred) - \Delta(target))^2 + \epsilon^2}

    with :math:`\Delta(x) = x - G(up(G(x)))`: G is a 5x5 Gaussian with replicated borders, ``up``
    keeps every second pixel, four times as large, and sets the others to zero. The filter is
    linear, so it runs once, on the difference, and in float32 whatever the autocast.

    Args:
        eps: epsilon of the root; official 1e-3.
        loss_weight: factor; official 0.05 beside a Charbonnier loss of 1.
    """

    kernel: Tensor

    def __init__(self, eps: float = 1e-3, loss_weight: float = 0.05) -> None:
        super().__init__()
        self.eps = eps
        self.loss_weight = loss_weight
        taps = torch.tensor(BINOMIAL)
        # a buffer: follows the model to its device, and is in no checkpoint
        self.register_buffer('kernel', torch.outer(taps, taps)[None, None], persistent=False)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compare images ``(N, C, H, W)``; returns a scalar."""
        with torch.autocast(device_type=pred.device.type, enabled=False):
            difference = pred.float() - target.float()
            coarse = torch.zeros_like(difference)
            coarse[..., ::2, ::2] = 4 * self._blur(difference)[..., ::2, ::2]
            edges = difference - self._blur(coarse)
            return self.loss_weight * (edges.square() + self.eps**2).sqrt().mean()

    def _blur(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.kernel.expand(channels, -1, -1, -1)
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode='replicate'), kernel, groups=channels)
