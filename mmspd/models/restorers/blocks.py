"""Blocks that several restorers share; their state-dict names follow the official code."""

from torch import Tensor, nn

__all__ = ['BasicConv', 'ConvPair', 'ResBlock', 'ResBlocks']


class BasicConv(nn.Module):
    """A convolution or transposed convolution with an optional ReLU.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the kernel.
        stride: Stride; a transposed convolution enlarges by this factor.
        relu: Whether a ReLU follows.
        transpose: Whether the convolution is transposed.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        relu: bool = True,
        transpose: bool = False,
    ) -> None:
        super().__init__()
        if transpose:
            padding = kernel_size // 2 - 1
            conv: nn.Module = nn.ConvTranspose2d(
                in_channels, out_channels, kernel_size, stride, padding
            )
        else:
            conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2)
        self.main = nn.Sequential(conv, nn.ReLU(inplace=True)) if relu else nn.Sequential(conv)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(N, C, H, W)``."""
        return self.main(x)


class ResBlock(nn.Module):
    """Residual block of MIMO-UNet: conv3x3, ReLU, conv3x3, plus the input; no normalization.

    Args:
        channels: Channels of the input and the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            BasicConv(channels, channels, 3), BasicConv(channels, channels, 3, relu=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(N, C, H, W)``."""
        return self.main(x) + x


class ConvPair(nn.Sequential):
    """Residual block of DeepDeblur and DMPHN; the convolutions have the names ``0`` and ``2``.

    Args:
        channels: Channels of the input and the output.
        kernel_size: Side of both kernels.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(N, C, H, W)``."""
        return super().forward(x) + x


class ResBlocks(nn.Module):
    """A sequence of residual blocks.

    Args:
        channels: Channels of the input and the output.
        num_res: Number of blocks.
    """

    def __init__(self, channels: int, num_res: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[ResBlock(channels) for _ in range(num_res)])

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(N, C, H, W)``."""
        return self.layers(x)
