"""U-Nets of multi-stage restorers, with and without channel attention.

State-dict names follow MPRNet's official code. The convolutions have no bias. The whole restorer
shares one PReLU: its slope is one parameter with many names in a state dict.
"""

from collections import OrderedDict
from typing import Any, Callable, List, NamedTuple, Optional, Sequence

from torch import Tensor, nn

__all__ = [
    'LEVELS',
    'ChannelAttention',
    'StageBlock',
    'StageDecoder',
    'StageEncoder',
    'StageFeatures',
    'conv',
    'resample',
]

#: Numbers of the levels of a U-Net, fine to coarse.
LEVELS = (1, 2, 3)

CheckpointFn = Callable[..., Any]  # Restorer.checkpointed(block, *inputs)
LevelFuse = Callable[[str, Tensor], Tensor]  # takes 'dec3', 'dec2' or 'dec1', and the feature


class StageFeatures(NamedTuple):
    """Features of a U-Net, fine to coarse.

    Attributes:
        enc: Features of the encoder, ``(N, C_i, H_i, W_i)``.
        dec: Features of the decoder, of the same shapes.
    """

    enc: List[Tensor]
    dec: List[Tensor]


def conv(in_channels: int, out_channels: int, kernel_size: int = 3) -> nn.Conv2d:
    """Make a convolution that keeps the size and has no bias.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the kernel, an odd number.

    Returns:
        The convolution.
    """
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)


def resample(
    in_channels: int, out_channels: int, scale: float, name: Optional[str] = None
) -> nn.Sequential:
    """Make a bilinear resize followed by a 1x1 convolution.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        scale: Factor of the resize.
        name: Name of the layers in the state dict, ``down`` or ``up`` by default.

    Returns:
        The layers.
    """
    resize = nn.Upsample(scale_factor=scale, mode='bilinear', align_corners=False)
    steps = nn.Sequential(resize, conv(in_channels, out_channels, 1))
    return nn.Sequential(OrderedDict([(name or ('down' if scale < 1 else 'up'), steps)]))


class ChannelAttention(nn.Module):
    """Scales every channel by a gate that is computed from the means of the channels.

    Args:
        channels: Channels of the input and the output.
        reduction: Ratio of ``channels`` to the channels of the hidden layer.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(
            conv(channels, channels // reduction, 1),
            nn.ReLU(inplace=True),
            conv(channels // reduction, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Multiply the channels of a feature ``(N, C, H, W)`` by their attention weights."""
        return x * self.conv_du(x.mean((-2, -1), keepdim=True))


class StageBlock(nn.Module):
    """Residual block: conv3x3, PReLU, conv3x3, optional channel attention, plus the input.

    Args:
        channels: Channels of the input and the output.
        act: The PReLU that the whole restorer shares.
        reduction: ``reduction`` of :class:`ChannelAttention`; ``None`` for no channel attention.
    """

    def __init__(self, channels: int, act: nn.PReLU, reduction: Optional[int] = None) -> None:
        super().__init__()
        self.CA = nn.Identity() if reduction is None else ChannelAttention(channels, reduction)
        self.body = nn.Sequential(conv(channels, channels), act, conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(N, C, H, W)``."""
        return self.CA(self.body(x)) + x


class _Stage(nn.Module):
    """The layers of an encoder or a decoder: two blocks at each of the three levels."""

    def __init__(
        self, part: str, widths: Sequence[int], act: nn.PReLU, reduction: Optional[int]
    ) -> None:
        super().__init__()
        for level, width in zip(LEVELS, widths):
            blocks = [StageBlock(width, act, reduction) for _ in range(2)]
            self.add_module(f'{part}_level{level}', nn.Sequential(*blocks))


class StageEncoder(_Stage):
    """Encoder of a U-Net with three levels; each level halves the size of the previous level.

    Args:
        widths: Channels of the levels, fine to coarse.
        act: The PReLU that the whole restorer shares.
        reduction: ``reduction`` of :class:`ChannelAttention`; ``None`` for no channel attention.
        csff: Whether :meth:`forward` fuses the features of an earlier U-Net (cross-stage feature
            fusion).
    """

    def __init__(
        self,
        widths: Sequence[int],
        act: nn.PReLU,
        reduction: Optional[int] = None,
        csff: bool = False,
    ) -> None:
        super().__init__('encoder', widths, act, reduction)
        self.down12 = resample(widths[0], widths[1], 0.5)
        self.down23 = resample(widths[1], widths[2], 0.5)
        if csff:
            for level, width in zip(LEVELS, widths):
                self.add_module(f'csff_enc{level}', conv(width, width, 1))
                self.add_module(f'csff_dec{level}', conv(width, width, 1))

    def forward(
        self, x: Tensor, checkpointed: CheckpointFn, previous: Optional[StageFeatures] = None
    ) -> List[Tensor]:
        """Encode a feature.

        Args:
            x: Feature at the finest level, ``(N, C, H, W)``.
            checkpointed: Function that runs a block, such as :meth:`Restorer.checkpointed`.
            previous: Features of the earlier U-Net, of the same sizes as the features of this
                U-Net.

        Returns:
            Features of the levels, fine to coarse, at strides 1, 2 and 4 of the input.
        """
        features: List[Tensor] = []
        for level, down in zip(LEVELS, (nn.Identity(), self.down12, self.down23)):
            x = checkpointed(getattr(self, f'encoder_level{level}'), down(x))
            if previous is not None:
                x = x + getattr(self, f'csff_enc{level}')(previous.enc[level - 1])
                x = x + getattr(self, f'csff_dec{level}')(previous.dec[level - 1])
            features.append(x)
        return features


class StageDecoder(_Stage):
    """Decoder of a U-Net; each skip feature runs through a block before it is added.

    Args:
        widths: Channels of the levels, fine to coarse.
        act: The PReLU that the whole restorer shares.
        reduction: ``reduction`` of :class:`ChannelAttention`; ``None`` for no channel attention.
    """

    def __init__(
        self, widths: Sequence[int], act: nn.PReLU, reduction: Optional[int] = None
    ) -> None:
        super().__init__('decoder', widths, act, reduction)
        self.skip_attn1 = StageBlock(widths[0], act, reduction)
        self.skip_attn2 = StageBlock(widths[1], act, reduction)
        self.up21 = resample(widths[1], widths[0], 2)
        self.up32 = resample(widths[2], widths[1], 2)

    def forward(
        self, features: Sequence[Tensor], checkpointed: CheckpointFn, fuse: LevelFuse
    ) -> List[Tensor]:
        """Decode the features of an encoder.

        Args:
            features: Features of the levels, fine to coarse.
            checkpointed: Function that runs a block, such as :meth:`Restorer.checkpointed`.
            fuse: Function that is called at every level, coarse to fine, after the skip sum.

        Returns:
            Features of the levels, fine to coarse.
        """
        dec3 = checkpointed(self.decoder_level3, fuse('dec3', features[2]))
        z = self.up32(dec3) + checkpointed(self.skip_attn2, features[1])
        dec2 = checkpointed(self.decoder_level2, fuse('dec2', z))
        z = self.up21(dec2) + checkpointed(self.skip_attn1, features[0])
        return [checkpointed(self.decoder_level1, fuse('dec1', z)), dec2, dec3]
