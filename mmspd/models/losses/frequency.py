"""FrequencyLoss: the multi-scale frequency reconstruction (MSFR) term of MIMO-UNet."""

import torch
from torch import Tensor, nn

from mmspd.registry import MODELS

__all__ = ['FrequencyLoss']


@MODELS.register_module()
class FrequencyLoss(nn.Module):
    r"""L1 distance of the spectra, real and imaginary parts apart.

    .. math:: mean | [Re, Im](F(pred)) - [Re, Im](F(target)) |

    with the full, unnormalized 2-D Fourier transform, exactly as MIMO-UNet and MSSNet compute it
    by the old ``torch.rfft(x, 2, onesided=False)``. The complex modulus instead would be pi/2
    times larger.

    The transform is linear and the spectrum of a real image is symmetric, so one half-spectrum of
    the difference suffices, its inner columns counted twice. It runs in float32 whatever the
    autocast, since half precision overflows.

    Args:
        loss_weight: factor; official 0.1 beside an L1 of 1.
    """

    def __init__(self, loss_weight: float = 0.1) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compare images ``(N, C, H, W)``; returns a scalar."""
        with torch.autocast(device_type=pred.device.type, enabled=False):
            difference = pred.float() - target.float()
            spectrum = torch.view_as_real(torch.fft.rfft2(difference)).abs()
        width = difference.shape[-1]
        total = 2 * spectrum.sum() - spectrum[..., 0, :].sum()
        if width % 2 == 0:  # the Nyquist column has no mirror image
            total = total - spectrum[..., -1, :].sum()
        return self.loss_weight * total / (2 * difference.numel())
