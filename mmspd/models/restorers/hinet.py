"""HINet (Chen et al., "HINet: Half Instance Normalization Network", CVPRW 2021)."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.layers.image_statistics import InstanceNorm2d, instance_norm
from mmspd.models.restorers.base import Restorer
from mmspd.models.restorers.stage_blocks import StageFeatures
from mmspd.models.seams import FuseFn
from mmspd.registry import MODELS
from mmspd.weights.published import Family, Published, register_family

__all__ = ['HINet']

DEPTH = 5
LEAKY_SLOPE = 0.2


def _conv3(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


class InstanceNorm(InstanceNorm2d):
    """Affine instance normalization of features of any size.

    ``torch.nn.InstanceNorm2d`` refuses a feature of one pixel. A deep feature of a small image has
    one pixel; its normalized value is zero.

    Args:
        channels: Channels of the input and the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize every channel of ``(N, C, H, W)`` over its pixels."""
        return instance_norm(x, self.weight, self.bias, self.eps)


class HINBlock(nn.Module):
    """Residual block: conv3x3, LeakyReLU, conv3x3, LeakyReLU, plus a 1x1 convolution of the input.

    With half instance normalization (HIN), the first half of the channels is normalized after the
    first convolution. No activation follows the sum.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        hin: Whether the block has HIN.
    """

    def __init__(self, in_channels: int, channels: int, hin: bool = False) -> None:
        super().__init__()
        self.identity = nn.Conv2d(in_channels, channels, 1)
        self.conv_1 = _conv3(in_channels, channels)
        self.conv_2 = _conv3(channels, channels)
        self.norm = InstanceNorm(channels // 2) if hin else None
        self.act = nn.LeakyReLU(LEAKY_SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C_in, H, W)`` to ``(N, C, H, W)``."""
        z = self.conv_1(x)
        if self.norm is not None:
            half = self.norm.num_features
            z = torch.cat([self.norm(z[:, :half]), z[:, half:]], dim=1)
        return self.act(self.conv_2(self.act(z))) + self.identity(x)


class EncoderLevel(HINBlock):
    """A level of the encoder, which may fuse features of an earlier U-Net and down-sample.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        hin: Whether the level has half instance normalization.
        down: Whether a coarser level follows. The level then has ``downsample``.
        csff: Whether :meth:`forward` fuses features of the earlier U-Net (cross-stage feature
            fusion).
    """

    def __init__(self, in_channels: int, channels: int, hin: bool, down: bool, csff: bool) -> None:
        super().__init__(in_channels, channels, hin)
        if down:
            self.downsample = nn.Conv2d(channels, channels, 4, stride=2, padding=1, bias=False)
        if csff:
            self.csff_enc = _conv3(channels, channels)
            self.csff_dec = _conv3(channels, channels)

    def forward(self, x: Tensor, *earlier: Tensor) -> Tensor:
        """Encode a feature.

        Args:
            x: Feature ``(N, C_in, H, W)``.
            *earlier: With ``csff``, the features of the earlier encoder and decoder, ``(N, C, H,
                W)``.

        Returns:
            The feature of this level, ``(N, C, H, W)``, for the skip connection.
        """
        x = super().forward(x)
        if earlier:
            enc, dec = earlier
            x = x + self.csff_enc(enc) + self.csff_dec(dec)
        return x


class DecoderLevel(nn.Module):
    """A level of the decoder: enlarges the coarser feature and concatenates the skip feature.

    Args:
        channels: Channels of the skip feature and the output; the coarser feature has twice as
            many.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(2 * channels, channels, 2, stride=2)
        self.conv_block = HINBlock(2 * channels, channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Fuse ``(N, 2C, H/2, W/2)`` and a skip feature ``(N, C, H, W)``."""
        return self.conv_block(torch.cat([self.up(x), skip], dim=1))


class SAM(nn.Module):
    """Supervised attention module, as in MPRNet, but with 3x3 convolutions and biases.

    Args:
        channels: Channels of the feature.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv3(channels, channels)
        self.conv2 = _conv3(channels, 3)
        self.conv3 = _conv3(3, channels)

    def forward(self, x: Tensor, img: Tensor) -> Tuple[Tensor, Tensor]:
        """Gate a feature ``(N, C, H, W)``; return it and the image of stage 1."""
        image = self.conv2(x) + img
        attention = self.conv3(image).sigmoid()
        return self.conv1(x) * attention + x, image


@MODELS.register_module()
class HINet(Restorer):
    """Two U-Nets in sequence with half instance normalization (HIN), as in the official code.

    Both U-Nets have five levels with ``wf``, ``2 wf``, ..., ``16 wf`` channels and work at full
    resolution. HIN normalizes half of the channels over the pixels of the image. So the result at a
    pixel depends on the whole image; the authors test on windows of the size of the training crops
    (:func:`~mmspd.models.tiling.windows.restore_windows`).

    The seams are in the decoder of stage 2: ``stage2.dec3`` (stride 4), ``stage2.dec2`` and
    ``stage2.dec1``. HINet concatenates its skips in front of a residual block. A seam is the output
    of this block, because no other layer fuses the skip. HIN is only in the encoders.

    Args:
        wf: Channels at full resolution; 64, or 32 for the official network of half the width.
        hin_position: First and last level of the encoders with HIN, 0 to 4. The official positions
            are (3, 4) for GoPro and REDS, and (0, 4) for SIDD and Rain13k. ``None`` for no HIN.
        outputs: ``'all'`` returns the images of both stages, stage 2 last; ``'last'`` returns only
            the image of stage 2.
        with_cp: Recompute the blocks' activations in the backward pass to save memory.

    Raises:
        UserError: ``hin_position`` or ``outputs`` is invalid.

    Examples:
        >>> import torch
        >>> from mmspd.models.restorers import HINet
        >>> [tuple(image.shape) for image in HINet(wf=4)(torch.rand(1, 3, 35, 45))]
        [(1, 3, 35, 45), (1, 3, 35, 45)]
    """

    multiple = 16
    seams = ('stage2.dec3', 'stage2.dec2', 'stage2.dec1')

    def __init__(
        self,
        wf: int = 64,
        hin_position: Optional[Sequence[int]] = (3, 4),
        outputs: str = 'all',
        with_cp: bool = False,
    ) -> None:
        super().__init__(outputs, with_cp)
        with_hin = _levels(hin_position)
        widths = [wf * 2**level for level in range(DEPTH)]
        self.conv_01 = _conv3(3, wf)
        self.conv_02 = _conv3(3, wf)
        for stage in (1, 2):
            encoder = nn.ModuleList()
            for level, (before, width) in enumerate(zip([wf, *widths], widths)):
                inner = level < DEPTH - 1
                csff = inner and stage == 2
                encoder.append(EncoderLevel(before, width, level in with_hin, inner, csff))
            self.add_module(f'down_path_{stage}', encoder)
            deepest_first = widths[-2::-1]
            decoder = nn.ModuleList(DecoderLevel(width) for width in deepest_first)
            self.add_module(f'up_path_{stage}', decoder)
            skips = nn.ModuleList(_conv3(width, width) for width in deepest_first)
            self.add_module(f'skip_conv_{stage}', skips)
        self.sam12 = SAM(wf)
        self.cat12 = nn.Conv2d(2 * wf, wf, 1)
        self.last = _conv3(wf, 3)

    def forward_padded(self, img: Tensor, fuse: FuseFn) -> List[Tensor]:
        """Restore an image with both stages.

        Args:
            img: Blurry image ``(N, 3, H, W)``; H and W are multiples of 16.
            fuse: Function that is called at every seam.

        Returns:
            The images of stages 1 and 2, each ``(N, 3, H, W)``.
        """
        enc = self._encode(1, self.conv_01(img))
        dec = self._decode(1, enc, fuse)
        gated, image1 = self.sam12(dec[0], img)
        x = self.cat12(torch.cat([self.conv_02(img), gated], dim=1))
        enc = self._encode(2, x, StageFeatures(enc, dec))
        dec = self._decode(2, enc, fuse)
        return [image1, self.last(dec[0]) + img]

    def _encode(
        self, stage: int, x: Tensor, earlier: Optional[StageFeatures] = None
    ) -> List[Tensor]:
        """Return the features of all levels of an encoder, fine to coarse."""
        features: List[Tensor] = []
        pairs = [] if earlier is None else list(zip(earlier.enc, earlier.dec))
        for level, block in enumerate(getattr(self, f'down_path_{stage}')):
            # the coarsest level is not in a decoder, so it has no pair
            pair = pairs[level] if level < len(pairs) else ()
            features.append(self.checkpointed(block, x, *pair))
            if level < DEPTH - 1:
                x = block.downsample(features[-1])
        return features

    def _decode(self, stage: int, enc: Sequence[Tensor], fuse: FuseFn) -> List[Tensor]:
        """Return the features of all levels of a decoder but the coarsest, fine to coarse."""
        x, features = enc[-1], []
        layers = zip(getattr(self, f'up_path_{stage}'), getattr(self, f'skip_conv_{stage}'))
        for level, (block, skip) in zip(range(DEPTH - 1, 0, -1), layers):
            x = self.checkpointed(block, x, skip(enc[level - 1]))
            seam = f'stage{stage}.dec{level}'
            x = fuse(seam, x) if seam in self.seams else x
            features.append(x)
        return features[::-1]


def _levels(hin_position: Optional[Sequence[int]]) -> Sequence[int]:
    """Return the levels with HIN."""
    if hin_position is None:
        return ()
    position = tuple(hin_position)
    if len(position) != 2 or not 0 <= position[0] <= position[1] < DEPTH:
        raise UserError(
            f'HINet has hin_position={hin_position!r}; use the first and the last level with HIN, '
            'such as (3, 4), or None.'
        )
    return range(position[0], position[1] + 1)


def _arguments(state: Dict[str, Tensor]) -> Dict[str, Any]:
    """Read the arguments of the constructor from a state dict."""
    levels = [i for i in range(DEPTH) if f'down_path_1.{i}.norm.weight' in state]
    position = (levels[0], levels[-1]) if levels else None
    return dict(wf=state['conv_01.weight'].shape[0], hin_position=position)


register_family(
    Family(
        'mmspd.HINet',
        'HINet',
        marks=('conv_01.weight', 'down_path_1.0.identity.weight', 'sam12.conv3.weight'),
        sizes=_arguments,
        published=(
            Published(
                'hinet',
                'HINet for GoPro and REDS (HIN at levels 3 to 4)',
                dict(wf=64, hin_position=(3, 4)),
            ),
            Published(
                'hinet',
                'HINet for SIDD and Rain13k (HIN at levels 0 to 4)',
                dict(wf=64, hin_position=(0, 4)),
            ),
            Published(
                'hinet',
                'HINet 0.5x for SIDD (HIN at levels 0 to 4)',
                dict(wf=32, hin_position=(0, 4)),
            ),
        ),
    )
)
