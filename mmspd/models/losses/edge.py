"""EdgeLoss: the edge loss of MPRNet."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.registry import MODELS

__all__ = ['EdgeLoss']

BINOMIAL = (0.05, 0.25, 0.4, 0.25, 0.05)


@MODELS.register_module()
class EdgeLoss(nn.Module):
    r"""Charbonnier distance between the edges of two images, as in MPRNet's official code.

    .. math:: mean \sqrt{(\Delta(pred) - \Delta(target))^2 + \epsilon^2}

    with :math:`\Delta(x) = x - G(up(G(x)))`. G is a 5x5 Gaussian with replicated borders. ``up``
    multiplies every second pixel by four and sets the other pixels to zero. The filter is linear,
    so it runs only once, on the difference of the images. It always runs in float32, also under
    autocast.

    Args:
        eps: Epsilon of the square root; official 1e-3.
        loss_weight: Factor of the loss; official 0.05 with a Charbonnier loss of weight 1.

    Examples:
        >>> import torch
        >>> from mmspd.models.losses import EdgeLoss
        >>> loss, image = EdgeLoss(eps=1e-3, loss_weight=1.0), torch.rand(1, 3, 16, 16)
        >>> round(loss(image, image).item(), 4)  # the minimum is eps
        0.001
    """

    kernel: Tensor

    def __init__(self, eps: float = 1e-3, loss_weight: float = 0.05) -> None:
        super().__init__()
        self.eps = eps
        self.loss_weight = loss_weight
        taps = torch.tensor(BINOMIAL)
        # A non-persistent buffer moves to the model's device, but is not saved in checkpoints.
        self.register_buffer('kernel', torch.outer(taps, taps)[None, None], persistent=False)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compare images.

        Args:
            pred: Restored images ``(N, C, H, W)``.
            target: Sharp images of the same shape.

        Returns:
            A scalar, multiplied by ``loss_weight``.
        """
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
