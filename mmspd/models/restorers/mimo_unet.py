"""MIMO-UNet and MIMO-UNet+ (Cho et al., "Rethinking Coarse-to-Fine Approach", ICCV 2021)."""

from typing import Any, Dict, List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.models.restorers.base import Restorer
from mmspd.models.restorers.blocks import BasicConv, ResBlocks
from mmspd.models.seams import FuseFn
from mmspd.registry import MODELS
from mmspd.weights.published import (
    Family,
    Published,
    count_modules,
    register_family,
    switched_off,
)

__all__ = ['AFF', 'FAM', 'SCM', 'MIMOUNet']


class SCM(nn.Module):
    """Shallow convolutional module: extracts features from a downsampled input image.

    Args:
        channels: Channels of the result.
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
    """Feature attention module: modulates the encoder's feature with a feature of the image.

    Args:
        channels: Channels of both features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.merge = BasicConv(channels, channels, 3, relu=False)

    def forward(self, feature: Tensor, shallow: Tensor) -> Tensor:
        """Fuse two features ``(N, C, H, W)``."""
        return feature + self.merge(feature * shallow)


class AFF(nn.Module):
    """Asymmetric feature fusion: fuses all encoder levels at the resolution of one level.

    Args:
        in_channels: Sum of the channels of the levels.
        out_channels: Channels of the result.
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
    """Resize with nearest-neighbor interpolation, which the official network always uses.

    The result has the type of ``x``. By default, autocast on CUDA would return float32. This would
    double the memory of the features of all levels at full resolution, without more precision,
    because the values are only copied.
    """
    if x.is_cuda and torch.is_autocast_enabled():
        with torch.autocast(x.device.type, enabled=False):
            return F.interpolate(x, scale_factor=scale, mode='nearest')
    return F.interpolate(x, scale_factor=scale, mode='nearest')


@MODELS.register_module()
class MIMOUNet(Restorer):
    """Multi-input multi-output U-Net with the state-dict names and numerics of the official code.

    The defaults are MIMO-UNet (6.8 M parameters). ``MIMOUNet(num_res=20, dropout=0.1)`` is
    MIMO-UNet+ (16.1 M). The input of each lower scale is the image, halved once or twice with
    nearest-neighbor interpolation. The input of a scale is added to the output of this scale.

    ``multi_input``, ``aff`` and ``multi_output`` switch the modules of the MIMO-UNet paper. Without
    all three, the network is the baseline of Table 3: a U-Net with one input and one output, whose
    encoder features go straight into the concatenations of the decoder. The state dict lacks only
    the tensors of the modules that are switched off.

    The seams are the inputs of the three decoder blocks: ``dec3`` (stride 4), ``dec2`` and
    ``dec1``. ``dec2`` and ``dec1`` come after ``Convs``, which reduces the channels of the
    concatenated decoder feature and skip. So the network uses all layers of the official weights.

    Args:
        base: Channels at full resolution; official 32.
        num_res: Residual blocks per level in the encoder, and as many in the decoder.
        dropout: Probability that a channel of the two skips is dropped in training.
        multi_input: Add features of the downsampled images to the encoder (``SCM`` and ``FAM``).
        aff: Fuse all levels of the encoder for each skip. With ``False``, a skip is the feature of
            its level.
        multi_output: Restore the lower scales too (``ConvsOut``).
        outputs: ``'all'`` returns the images at 1/4, 1/2 and full resolution, or a list of one
            image without ``multi_output``; ``'last'`` returns only the full-resolution image.
        with_cp: Recompute the blocks' activations in the backward pass to save memory.

    Raises:
        UserError: ``outputs`` is unknown.

    Examples:
        >>> import torch
        >>> from mmspd.models.restorers import MIMOUNet
        >>> [tuple(image.shape) for image in MIMOUNet(base=8, num_res=1)(torch.rand(1, 3, 32, 48))]
        [(1, 3, 8, 12), (1, 3, 16, 24), (1, 3, 32, 48)]
    """

    multiple = 4
    seams = ('dec3', 'dec2', 'dec1')

    def __init__(
        self,
        base: int = 32,
        num_res: int = 8,
        dropout: float = 0.0,
        multi_input: bool = True,
        aff: bool = True,
        multi_output: bool = True,
        outputs: str = 'all',
        with_cp: bool = False,
    ) -> None:
        super().__init__(outputs, with_cp)
        self.multi_input, self.aff, self.multi_output = multi_input, aff, multi_output
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
        if multi_output:
            self.ConvsOut = nn.ModuleList(
                [BasicConv(base * 4, 3, 3, relu=False), BasicConv(base * 2, 3, 3, relu=False)]
            )
        if aff:
            self.AFFs = nn.ModuleList([AFF(base * 7, base), AFF(base * 7, base * 2)])
        if multi_input:
            self.FAM1 = FAM(base * 4)
            self.SCM1 = SCM(base * 4)
            self.FAM2 = FAM(base * 2)
            self.SCM2 = SCM(base * 2)
        self.dropout = nn.Dropout2d(dropout)

    def forward_padded(self, img: Tensor, fuse: FuseFn) -> List[Tensor]:
        """Restore an image at 1/4, 1/2 and full resolution.

        Args:
            img: Blurry image ``(N, 3, H, W)``; H and W are multiples of 4.
            fuse: Function that is called at every seam.

        Returns:
            Three images, coarse to fine; without ``multi_output``, only the last one.
        """
        img2 = img4 = img
        if self.multi_input or self.multi_output:
            img2 = _nearest(img, 0.5)
            img4 = _nearest(img2, 0.5)

        enc1 = self.checkpointed(self.Encoder[0], self.feat_extract[0](img))  # (N, C, H, W)
        z = self._add_input(2, self.feat_extract[1](enc1), img2)
        enc2 = self.checkpointed(self.Encoder[1], z)  # (N, 2C, H/2, W/2)
        z = self._add_input(1, self.feat_extract[2](enc2), img4)
        enc3 = self.checkpointed(self.Encoder[2], z)  # (N, 4C, H/4, W/4)
        skip1, skip2 = self._skips(enc1, enc2, enc3)

        dec = self.checkpointed(self.Decoder[0], fuse('dec3', enc3))
        images = self._lower_images(0, dec, img4)
        z = torch.cat([self.feat_extract[3](dec), self.dropout(skip2)], dim=1)
        dec = self.checkpointed(self.Decoder[1], fuse('dec2', self.Convs[0](z)))
        images += self._lower_images(1, dec, img2)
        z = torch.cat([self.feat_extract[4](dec), self.dropout(skip1)], dim=1)
        dec = self.checkpointed(self.Decoder[2], fuse('dec1', self.Convs[1](z)))
        return [*images, self.feat_extract[5](dec) + img]

    def _add_input(self, number: int, feature: Tensor, img: Tensor) -> Tensor:
        """Modulate a feature with the image of its scale, by ``FAM1`` or ``FAM2``."""
        if not self.multi_input:
            return feature
        shallow = getattr(self, f'SCM{number}')(img)
        return getattr(self, f'FAM{number}')(feature, shallow)

    def _skips(self, enc1: Tensor, enc2: Tensor, enc3: Tensor) -> Tuple[Tensor, Tensor]:
        """Return the skips ``(N, C, H, W)`` and ``(N, 2C, H/2, W/2)`` of the encoder's levels."""
        if not self.aff:
            return enc1, enc2
        enc3_at2 = _nearest(enc3, 2)
        skip2 = self.AFFs[1](_nearest(enc1, 0.5), enc2, enc3_at2)
        return self.AFFs[0](enc1, _nearest(enc2, 2), _nearest(enc3_at2, 2)), skip2

    def _lower_images(self, number: int, dec: Tensor, img: Tensor) -> List[Tensor]:
        """Return the restored image of a lower scale, or nothing without ``multi_output``."""
        return [self.ConvsOut[number](dec) + img] if self.multi_output else []


def _arguments(state: Dict[str, Tensor]) -> Dict[str, Any]:
    """Read the arguments of the constructor from a state dict."""
    num_res = count_modules(state, r'(?:En|De)coder\.\d\.layers\.(\d+)')
    # A weights file does not contain the dropout rate. Only the larger network uses dropout.
    plus = dict(dropout=0.1) if num_res == 20 else {}
    return dict(
        base=state['feat_extract.0.main.0.weight'].shape[0],
        num_res=num_res,
        **plus,
        **switched_off(state, multi_input='SCM', aff='AFFs.', multi_output='ConvsOut.'),
    )


register_family(
    Family(
        'mmspd.MIMOUNet',
        'MIMO-UNet',
        marks=('feat_extract.0.main.0.weight', 'Convs.0.main.0.weight'),
        sizes=_arguments,
        published=(
            Published('mimounet', 'MIMO-UNet', dict(base=32, num_res=8)),
            Published('mimounetplus', 'MIMO-UNet+', dict(base=32, num_res=20, dropout=0.1)),
        ),
    )
)
