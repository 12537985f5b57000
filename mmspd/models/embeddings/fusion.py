"""Fusion of an aggregated prior and a decoder feature: SAT (Eq. 6) and the alternatives of Table 4.

Each fusion starts as the identity. So a new prior leaves the output of a trained restorer unchanged
until training starts. With SAT and AddFusion the output is exactly equal; with ConcatFusion it is
equal up to the rounding of the convolution.
"""

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.registry import MODELS

__all__ = ['SAT', 'AddFusion', 'ConcatFusion']


def _resample(x: Tensor, scale: float, like: Tensor) -> Tensor:
    """Resize a map at the prior's resolution to the size and type of a decoder feature.

    Both maps start at the top left corner of the image, but the prior may be padded more at the
    right and bottom. Therefore the map is resized by the exact ratio of the strides, and the rows
    and columns beyond the decoder feature are cut off.
    """
    if scale != 1:
        x = F.interpolate(x, scale_factor=scale, mode='bilinear', align_corners=False)
    return x[..., : like.shape[-2], : like.shape[-1]].to(like.dtype)


def _zero(conv: nn.Conv2d) -> nn.Conv2d:
    """Initialize a convolution with zeros."""
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _conv_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Make a block of conv3x3, leaky ReLU and conv3x3; the last convolution starts at zero.

    The values of the prior grow during training. With a plain ReLU, nearly all hidden units soon
    returned zero, and the fusion ignored the prior. The paper does not name an activation. The
    slope 0.1 is taken from the spatial feature transform (Wang et al., CVPR 2018), which resembles
    the paper's SAT.
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

    delta and sigma are convolution blocks at the prior's resolution. Their last layers start at
    zero, so before training mu is exactly 1 and sigma exactly 0 at any size and precision. If delta
    started with a bias of 1 instead, mu would not be exactly 1 after the enlargement.

    Args:
        prior_channels: Channels of M_pri.
        channels: Channels of the decoder feature.
        scale: Stride of M_pri divided by the stride of the decoder feature.

    Examples:
        >>> import torch
        >>> from mmspd.models.embeddings import SAT
        >>> sat = SAT(prior_channels=16, channels=8, scale=2)
        >>> dec = torch.rand(1, 8, 32, 48)
        >>> fused = sat(torch.rand(1, 16, 16, 24), dec)
        >>> fused.shape, torch.equal(fused, dec)  # starts as the identity
        (torch.Size([1, 8, 32, 48]), True)
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
            The feature f_sa ``(N, C, H, W)``.
        """
        change, sigma = self.modulation(prior)
        # This needs two passes at full resolution. It avoids the rounding of the sum 1 + change.
        shifted = _resample(sigma, self.scale, dec).add_(dec)
        return shifted.addcmul_(_resample(change, self.scale, dec), dec)

    def modulation(self, prior: Tensor) -> Tuple[Tensor, Tensor]:
        """Compute mu - 1 and sigma at the prior's resolution.

        Args:
            prior: M_pri ``(N, C_p, H_p, W_p)``.

        Returns:
            The maps mu - 1 and sigma, each ``(N, C, H_p, W_p)``. Where both maps are zero, the
            decoder feature does not change.
        """
        return self.delta(prior), self.sigma(prior)


@MODELS.register_module()
class AddFusion(nn.Module):
    """Fusion by addition, ``f + P(M_pri)`` (Net1 of Table 4); P starts at zero.

    Args:
        prior_channels: Channels of M_pri.
        channels: Channels of the decoder feature.
        scale: Stride of M_pri divided by the stride of the decoder feature.
    """

    def __init__(self, prior_channels: int, channels: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.project = _zero(nn.Conv2d(prior_channels, channels, 1))

    def forward(self, prior: Tensor, dec: Tensor) -> Tensor:
        """Add the projected prior to a decoder feature.

        Args:
            prior: M_pri ``(N, C_p, H_p, W_p)``.
            dec: The decoder feature after the skip fusion, ``(N, C, H, W)``.

        Returns:
            The fused feature ``(N, C, H, W)``.
        """
        return dec + _resample(self.project(prior), self.scale, dec)


@MODELS.register_module()
class ConcatFusion(nn.Module):
    """Fusion by concatenation, ``conv(cat(f, M_pri))`` (Net2 of Table 4).

    The 1x1 convolution starts as the identity for f and with zeros for M_pri.

    Args:
        prior_channels: Channels of M_pri.
        channels: Channels of the decoder feature.
        scale: Stride of M_pri divided by the stride of the decoder feature.
    """

    def __init__(self, prior_channels: int, channels: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.conv = _zero(nn.Conv2d(channels + prior_channels, channels, 1))
        nn.init.dirac_(self.conv.weight[:, :channels])

    def forward(self, prior: Tensor, dec: Tensor) -> Tensor:
        """Concatenate the prior and a decoder feature, and convolve them.

        Args:
            prior: M_pri ``(N, C_p, H_p, W_p)``.
            dec: The decoder feature after the skip fusion, ``(N, C, H, W)``.

        Returns:
            The fused feature ``(N, C, H, W)``.
        """
        return self.conv(torch.cat([dec, _resample(prior, self.scale, dec)], dim=1))
