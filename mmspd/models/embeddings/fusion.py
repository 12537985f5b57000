"""How an aggregated prior enters a decoder feature: SAT (Eq. 6) and its rivals in Table 4.

All of them start as the identity, so a prior added to a trained restorer changes nothing until it
has learned something: SAT and AddFusion exactly, ConcatFusion up to its convolution's rounding.
"""

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.registry import MODELS

__all__ = ['SAT', 'AddFusion', 'ConcatFusion']


def _resample(x: Tensor, scale: float, like: Tensor) -> Tensor:
    """Bring a map at the prior's resolution onto the grid, and to the type, of a decoder feature.

    Both grids start at the image's top left corner; the prior's may reach further at the right
    and bottom, where the paddings differ. So the scale is exact and the surplus is cut off.
    """
    if scale != 1:
        x = F.interpolate(x, scale_factor=scale, mode='bilinear', align_corners=False)
    return x[..., : like.shape[-2], : like.shape[-1]].to(like.dtype)


def _zero(conv: nn.Conv2d) -> nn.Conv2d:
    """Let a convolution start by returning zero."""
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _conv_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """conv3x3, leaky ReLU, conv3x3 that starts by returning zero.

    The prior grows in training, and behind a plain ReLU nearly all units soon returned zero
    everywhere: the fusion no longer saw the prior. The slope is that of the spatial feature
    transform (Wang et al., CVPR 2018), which the paper's SAT resembles; it does not state one.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, padding=1),
        nn.LeakyReLU(0.1, inplace=True),
        _zero(nn.Conv2d(in_channels, out_channels, 3, padding=1)),
    )


@MODELS.register_module()
class SAT(nn.Module):
    r"""Semantic attention transformation (Eq. 6).

    .. math::
        f_{sa} = \mu \otimes (f_{de} + f_{en}) + \sigma, \quad
        \mu = 1 + up(\delta(M_{pri})), \quad \sigma = up(\sigma(M_{pri}))

    delta and sigma are two convolution blocks at the prior's resolution. Their last layers start
    at zero, so mu is exactly 1 and sigma exactly 0 at any size and precision; a bias of 1 that is
    enlarged would not be.

    Args:
        prior_channels: channels of M_pri.
        channels: channels of the decoder feature.
        scale: stride of M_pri over stride of the decoder feature.
    """

    def __init__(self, prior_channels: int, channels: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.delta = _conv_block(prior_channels, channels)
        self.sigma = _conv_block(prior_channels, channels)

    def forward(self, prior: Tensor, dec: Tensor) -> Tensor:
        """Modulate a decoder feature.

        Args:
            prior: M_pri ``(N, C_p, H_p, W_p)``.
            dec: ``f_de + f_en`` ``(N, C, H, W)``, the decoder feature after the skip fusion.

        Returns:
            f_sa ``(N, C, H, W)``.
        """
        change, sigma = self.modulation(prior)
        # mu * dec + sigma in two passes over the full resolution; 1 + change is never rounded
        shifted = dec + _resample(sigma, self.scale, dec)
        return shifted.addcmul_(_resample(change, self.scale, dec), dec)

    def modulation(self, prior: Tensor) -> Tuple[Tensor, Tensor]:
        """Compute mu - 1 and sigma of M_pri ``(N, C_p, H_p, W_p)``, before they are enlarged.

        Returns:
            Two maps ``(N, C, H_p, W_p)``; zeros change nothing.
        """
        return self.delta(prior), self.sigma(prior)


@MODELS.register_module()
class AddFusion(nn.Module):
    """Fusion by addition, ``f + P(M_pri)`` (Net1 of Table 4); P starts at zero.

    Args:
        prior_channels: channels of M_pri.
        channels: channels of the decoder feature.
        scale: stride of M_pri over stride of the decoder feature.
    """

    def __init__(self, prior_channels: int, channels: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.project = _zero(nn.Conv2d(prior_channels, channels, 1))

    def forward(self, prior: Tensor, dec: Tensor) -> Tensor:
        """Add the prior; shapes as in :meth:`SAT.forward`."""
        return dec + _resample(self.project(prior), self.scale, dec)


@MODELS.register_module()
class ConcatFusion(nn.Module):
    """Fusion by concatenation, ``conv(cat(f, M_pri))`` (Net2 of Table 4).

    The 1x1 convolution starts as the identity on f and zero on M_pri.

    Args:
        prior_channels: channels of M_pri.
        channels: channels of the decoder feature.
        scale: stride of M_pri over stride of the decoder feature.
    """

    def __init__(self, prior_channels: int, channels: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.conv = _zero(nn.Conv2d(channels + prior_channels, channels, 1))
        nn.init.dirac_(self.conv.weight[:, :channels])

    def forward(self, prior: Tensor, dec: Tensor) -> Tensor:
        """Concatenate the prior; shapes as in :meth:`SAT.forward`."""
        return self.conv(torch.cat([dec, _resample(prior, self.scale, dec)], dim=1))
