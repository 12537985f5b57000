"""MIMO-UNet and MIMO-UNet+ (Cho et al., "Rethinking Coarse-to-Fine Approach", ICCV 2021)."""

from typing import Any, Dict, List

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.models.restorers.base import Restorer
from mmspd.models.restorers.blocks import BasicConv, ResBlocks
from mmspd.models.seams import FuseFn
from mmspd.registry import MODELS
from mmspd.weights.published import Family, Published, count_modules, register_family

__all__ = ['AFF', 'FAM', 'SCM', 'MIMOUNet']


class SCM(nn.Module):
    """Shallow convolutional module: features of a downsampled input image.

    Args:
        channels: channels of the result.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            BasicConv(3, channels // 4, 3),
            BasicConv(channels // 4, channels // 2, 1),
            BasicConv(channels // 2, channels // 2, 3),
            BasicConv(channels // 2, channels - 3, 1),
        )
        self.conv = BasicConv(channels, channels, 1, relu=False)

    def forward(self, img: Tensor) -> Tensor:
        """Map ``(N, 3, H, W)`` to ``(N, C, H, W)``."""
        return self.conv(torch.cat([img, self.main(img)], dim=1))


class FAM(nn.Module):
    """Feature attention module: the encoder's feature, modulated by the image's.

    Args:
        channels: channels of both features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.merge = BasicConv(channels, channels, 3, relu=False)

    def forward(self, feature: Tensor, shallow: Tensor) -> Tensor:
        """Merge two ``(N, C, H, W)`` features."""
        return feature + self.merge(feature * shallow)


class AFF(nn.Module):
    """Asymmetric feature fusion: all encoder levels, at one of their resolutions.

    Args:
        in_channels: sum of the levels' channels.
        out_channels: channels of the result.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            BasicConv(in_channels, out_channels, 1),
            BasicConv(out_channels, out_channels, 3, relu=False),
        )

    def forward(self, *features: Tensor) -> Tensor:
        """Fuse features ``(N, C_i, H, W)`` of one size to ``(N, C, H, W)``."""
        return self.conv(torch.cat(features, dim=1))


def _nearest(x: Tensor, scale: float) -> Tensor:
    """Resize by nearest neighbor, the mode of every resize inside the official network."""
    return F.interpolate(x, scale_factor=scale, mode='nearest')


@MODELS.register_module()
class MIMOUNet(Restorer):
    """Multi-input multi-output UNet; key names and numerics of the official code.

    Defaults are MIMO-UNet (6.8 M parameters); ``MIMOUNet(num_res=20, dropout=0.1)`` is MIMO-UNet+
    (16.1 M). The inputs of the lower scales are nearest-neighbor halvings, and every output adds
    the input of its own scale.

    Seams: the inputs of the three decoder blocks, ``dec3`` (stride 4), ``dec2`` and ``dec1``.
    The skips are concatenated and reduced by ``Convs``; the seam comes after that, so that
    official weights keep every layer they were trained with.

    Args:
        base: channels at full resolution; official 32.
        num_res: residual blocks per level, in the encoder and again in the decoder.
        dropout: probability of dropping a whole channel of the two fused skips, in training.
        outputs: ``'all'`` for the three scales, 1/4, 1/2 and full resolution; ``'last'`` for the
            last alone.
        with_cp: recompute the blocks' activations in the backward pass to save memory.
    """

    multiple = 4
    seams = ('dec3', 'dec2', 'dec1')

    def __init__(
        self,
        base: int = 32,
        num_res: int = 8,
        dropout: float = 0.0,
        outputs: str = 'all',
        with_cp: bool = False,
    ) -> None:
        super().__init__(outputs, with_cp)
        self.Encoder = nn.ModuleList(ResBlocks(base * k, num_res) for k in (1, 2, 4))
        self.Decoder = nn.ModuleList(ResBlocks(base * k, num_res) for k in (4, 2, 1))
        self.feat_extract = nn.ModuleList(
            [
                BasicConv(3, base, 3),
                BasicConv(base, base * 2, 3, stride=2),
                BasicConv(base * 2, base * 4, 3, stride=2),
                BasicConv(base * 4, base * 2, 4, stride=2, transpose=True),
                BasicConv(base * 2, base, 4, stride=2, transpose=True),
                BasicConv(base, 3, 3, relu=False),
            ]
        )
        self.Convs = nn.ModuleList([BasicConv(base * 4, base * 2, 1), BasicConv(base * 2, base, 1)])
        self.ConvsOut = nn.ModuleList(
            [BasicConv(base * 4, 3, 3, relu=False), BasicConv(base * 2, 3, 3, relu=False)]
        )
        self.AFFs = nn.ModuleList([AFF(base * 7, base), AFF(base * 7, base * 2)])
        self.FAM1 = FAM(base * 4)
        self.SCM1 = SCM(base * 4)
        self.FAM2 = FAM(base * 2)
        self.SCM2 = SCM(base * 2)
        self.dropout = nn.Dropout2d(dropout)

    def forward_padded(self, img: Tensor, fuse: FuseFn) -> List[Tensor]:
        """Restore ``(N, 3, H, W)`` at 1/4, 1/2 and full resolution."""
        img2 = _nearest(img, 0.5)
        img4 = _nearest(img2, 0.5)

        enc1 = self.checkpointed(self.Encoder[0], self.feat_extract[0](img))  # (N, C, H, W)
        z = self.FAM2(self.feat_extract[1](enc1), self.SCM2(img2))
        enc2 = self.checkpointed(self.Encoder[1], z)  # (N, 2C, H/2, W/2)
        z = self.FAM1(self.feat_extract[2](enc2), self.SCM1(img4))
        enc3 = self.checkpointed(self.Encoder[2], z)  # (N, 4C, H/4, W/4)

        enc3_at2 = _nearest(enc3, 2)
        skip2 = self.AFFs[1](_nearest(enc1, 0.5), enc2, enc3_at2)
        skip1 = self.AFFs[0](enc1, _nearest(enc2, 2), _nearest(enc3_at2, 2))

        dec = self.checkpointed(self.Decoder[0], fuse('dec3', enc3))
        out4 = self.ConvsOut[0](dec) + img4
        z = torch.cat([self.feat_extract[3](dec), self.dropout(skip2)], dim=1)
        dec = self.checkpointed(self.Decoder[1], fuse('dec2', self.Convs[0](z)))
        out2 = self.ConvsOut[1](dec) + img2
        z = torch.cat([self.feat_extract[4](dec), self.dropout(skip1)], dim=1)
        dec = self.checkpointed(self.Decoder[2], fuse('dec1', self.Convs[1](z)))
        return [out4, out2, self.feat_extract[5](dec) + img]


def _arguments(state: Dict[str, Tensor]) -> Dict[str, Any]:
    """Read the arguments off a state dict."""
    num_res = count_modules(state, r'(?:En|De)coder\.\d\.layers\.(\d+)')
    # nothing in a file tells the dropout; it belongs to the larger network
    plus = dict(dropout=0.1) if num_res == 20 else {}
    return dict(base=state['feat_extract.0.main.0.weight'].shape[0], num_res=num_res, **plus)


register_family(
    Family(
        'mmspd.MIMOUNet',
        'MIMO-UNet',
        marks=('feat_extract.0.main.0.weight', 'SCM1.conv.main.0.weight'),
        sizes=_arguments,
        published=(
            Published('mimounet', 'MIMO-UNet', dict(base=32, num_res=8)),
            Published('mimounetplus', 'MIMO-UNet+', dict(base=32, num_res=20, dropout=0.1)),
        ),
    )
)
