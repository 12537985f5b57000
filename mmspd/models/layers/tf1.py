"""The two operations of TensorFlow 1 that PyTorch computes differently: resizing and SAME padding.

SRN and PSS-NSC were trained with TensorFlow 1. Their published weights need these operations.
"""

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ['SameConv2d', 'resize_bilinear', 'same_padding']


def resize_bilinear(x: Tensor, height: int, width: int) -> Tensor:
    """Resize bilinearly like ``tf.image.resize_images`` of TensorFlow 1.

    Row i of the result is read at the position ``i * H / height``, without a shift by half a pixel.
    Positions beyond the last row give the last row. Columns are read in the same way. So halving an
    even size takes every second pixel, without an average.

    Args:
        x: ``(N, C, H, W)``, any range.
        height: New height.
        width: New width.

    Returns:
        ``(N, C, height, width)``.

    Examples:
        >>> import torch
        >>> from mmspd.models.layers.tf1 import resize_bilinear
        >>> row = torch.tensor([[[[0.0, 2.0, 4.0, 8.0]]]])
        >>> resize_bilinear(row, 1, 2)[0, 0, 0]
        tensor([0., 4.])
        >>> resize_bilinear(row, 1, 8)[0, 0, 0]
        tensor([0., 1., 2., 3., 4., 6., 8., 8.])
    """
    return _resize(_resize(x, -2, height), -1, width)


def _resize(x: Tensor, dim: int, size: int) -> Tensor:
    """Resize along one axis."""
    length = x.shape[dim]
    position = torch.arange(size, device=x.device) * length
    divisor = torch.full_like(position, size)  # ONNX cannot take a size as the divisor
    below = position // divisor
    above = (below + 1).clamp(max=length - 1)
    precise = torch.promote_types(x.dtype, torch.float32)  # bfloat16 rounds numbers above 256
    share = ((position - below * divisor).to(precise) / divisor.to(precise)).to(x.dtype)
    share = share.unsqueeze(-1) if dim == -2 else share
    low, high = x.index_select(dim, below), x.index_select(dim, above)
    return low + (high - low) * share


def same_padding(size: int, kernel_size: int, stride: int) -> Tuple[int, int]:
    """Compute the padding of one axis that TensorFlow calls SAME.

    The output has ``ceil(size / stride)`` pixels. If the padding is odd, the end gets one pixel
    more than the start. PyTorch's symmetric padding shifts such an output by one pixel.

    Args:
        size: Height or width of the input.
        kernel_size: Height or width of the kernel.
        stride: Stride of the convolution.

    Returns:
        The pixels before the first pixel and after the last pixel.

    Examples:
        >>> from mmspd.models.layers.tf1 import same_padding
        >>> same_padding(64, 5, 2), same_padding(64, 3, 2), same_padding(64, 5, 1)
        ((1, 2), (0, 1), (2, 2))
    """
    total = max(kernel_size - (size % stride or stride), 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """Convolution with the SAME padding of TensorFlow; see :func:`same_padding`.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the kernel.
        stride: Stride.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(N, C, H, W)`` to ``(N, C', ceil(H / stride), ceil(W / stride))``."""
        (top, bottom), (left, right) = (
            same_padding(size, kernel_size, stride)
            for size, kernel_size, stride in zip(x.shape[-2:], self.kernel_size, self.stride)
        )
        if (top, left) != (bottom, right):  # the convolution itself pads only symmetrically
            x = F.pad(x, (0, right - left, 0, bottom - top))
        return F.conv2d(x, self.weight, self.bias, self.stride, (top, left))
