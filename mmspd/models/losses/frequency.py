"""FrequencyLoss: the multi-scale frequency reconstruction (MSFR) loss of MIMO-UNet."""

import torch
from torch import Tensor, nn

from mmspd.registry import MODELS

__all__ = ['FrequencyLoss']


@MODELS.register_module()
class FrequencyLoss(nn.Module):
    """L1 distance between the spectra of two images, over real and imaginary parts.

    .. math:: mean | [Re, Im](F(pred)) - [Re, Im](F(target)) |

    F is the full, unnormalized 2-D Fourier transform. MIMO-UNet and MSSNet compute this value
    with the old ``torch.rfft(x, 2, onesided=False)``. With the complex modulus instead, the loss
    would be about pi/2 times as large.

    The transform is linear and the spectrum of a real image is symmetric. So the loss computes only
    half of the spectrum of the difference and counts the inner columns twice. The loss always runs
    in float32, because half precision overflows.

    Args:
        loss_weight: Factor of the loss; official 0.1 with an L1 loss of weight 1.

    Examples:
        >>> import torch
        >>> from mmspd.models.losses import FrequencyLoss
        >>> loss = FrequencyLoss(loss_weight=0.1)
        >>> pred, target = torch.ones(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
        >>> loss(pred, target)  # only the mean of the image differs: 0.1 * 64 / (64 * 2)
        tensor(0.0500)
    """

    def __init__(self, loss_weight: float = 0.1) -> None:
        super().__init__()
        self.loss_weight = loss_weight

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
            spectrum = torch.view_as_real(torch.fft.rfft2(difference)).abs()
        width = difference.shape[-1]
        total = 2 * spectrum.sum() - spectrum[..., 0, :].sum()
        if width % 2 == 0:  # the Nyquist column occurs once
            total = total - spectrum[..., -1, :].sum()
        return self.loss_weight * total / (2 * difference.numel())
