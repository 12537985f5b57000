"""The loop over three scales that SRN and PSS-NSC share, and their residual block."""

from typing import Any, List, Sequence, Tuple, cast

import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.models.layers.gray import rgb_to_gray
from mmspd.models.layers.tf1 import SameConv2d, resize_bilinear
from mmspd.models.restorers.base import Restorer
from mmspd.models.seams import FuseFn, no_fuse

__all__ = ['ScaleRecurrent', 'TwoConvs', 'truncated_normal_', 'up_conv', 'zero_biases']

SCALES = (4, 2, 1)


class TwoConvs(nn.Module):
    """Residual block: convolution, ReLU, convolution, plus the input.

    Args:
        channels: Channels of the input and the output.
        kernel_size: Side of both kernels.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv1 = SameConv2d(channels, channels, kernel_size)
        self.conv2 = SameConv2d(channels, channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(N, C, H, W)``."""
        return self.conv2(F.relu(self.conv1(x))) + x


def up_conv(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    """Make a 4x4 transposed convolution of stride 2 with the SAME padding of TensorFlow."""
    return nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1)


def zero_biases(network: nn.Module) -> List[Tensor]:
    """Set the biases of all convolutions to zero, as TF-Slim does.

    Args:
        network: The network.

    Returns:
        The weights of the convolutions.
    """
    convs = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    for conv in convs:
        nn.init.zeros_(cast(Tensor, conv.bias))
    return [conv.weight for conv in convs]


def truncated_normal_(weight: Tensor, std: float) -> None:
    """Initialize a weight with TensorFlow's truncated normal, which ends at two deviations.

    Args:
        weight: The weight.
        std: Deviation before the cut.
    """
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


class ScaleRecurrent(Restorer):
    """Base class of networks that restore an image at 1/4, 1/2 and full resolution in turn.

    The input at each scale is the resized blurry image and the enlarged result of the previous
    scale; at the first scale, this result is the blurry image too. The gradient stops at the result
    of the previous scale. Images are resized as in TensorFlow 1.

    A subclass implements :meth:`restore_scale` and the attribute :attr:`per_plane`.

    The seams are ``dec3`` (stride 4), ``dec2`` and ``dec1`` of the last scale. A restorer with
    ``per_plane`` passes features of a batch of 3N planes to ``fuse``. The planes of an image are
    adjacent.

    Args:
        gray_training: In training mode, convert the images to gray and return gray images, so that
            the restorer learns from gray images at a third of the cost of color images.
        outputs: ``'all'`` returns the images at 1/4, 1/2 and full resolution; ``'last'`` returns
            only the full-resolution image.
        with_cp: Recompute the blocks' activations in the backward pass to save memory.

    Attributes:
        per_plane: Whether the network restores the planes of an image (R, G, B) independently.

    Raises:
        UserError: ``outputs`` is unknown.
    """

    multiple = 16
    padding = 'edge'
    seams = ('dec3', 'dec2', 'dec1')
    per_plane = True

    def __init__(self, gray_training: bool, outputs: str, with_cp: bool) -> None:
        super().__init__(outputs, with_cp)
        self.gray_training = gray_training

    def forward_padded(self, img: Tensor, fuse: FuseFn) -> List[Tensor]:
        """Restore an image at 1/4, 1/2 and full resolution.

        Args:
            img: Blurry image ``(N, 3, H, W)``; H and W are multiples of 16.
            fuse: Function that is called at every seam.

        Returns:
            Three images, coarse to fine; ``(N, 1, h, w)`` in training mode with ``gray_training``,
            else ``(N, 3, h, w)``.
        """
        if self.gray_training and self.training:
            img = rgb_to_gray(img)
        number, channels, height, width = img.shape
        full = img.reshape(number * channels, 1, height, width) if self.per_plane else img
        restored, state, results = full, None, []
        for scale, shrink in enumerate(SCALES):
            size = height // shrink, width // shrink
            blurry = full if shrink == 1 else resize_bilinear(full, *size)
            guess = resize_bilinear(restored.detach(), *size)
            fuse_scale = fuse if shrink == 1 else no_fuse
            restored, state = self.restore_scale(scale, blurry, guess, state, fuse_scale)
            restored = restored.to(img.dtype)
            results.append(restored.reshape(number, channels, *size))
        return results

    def restore_scale(
        self, scale: int, blurry: Tensor, guess: Tensor, state: Any, fuse: FuseFn
    ) -> Tuple[Tensor, Any]:
        """Restore an image at one scale.

        Args:
            scale: Number of the scale, 0 for the coarsest.
            blurry: Blurry image at this scale, ``(N, C, h, w)``.
            guess: Result of the previous scale at the size of this scale, ``(N, C, h, w)``.
            state: State that the previous scale returned; ``None`` at the first scale.
            fuse: Function that is called at every seam.

        Returns:
            The restored image ``(N, C, h, w)``, and the state for the next scale.
        """
        raise NotImplementedError

    def run(self, names: Sequence[str], x: Tensor) -> Tensor:
        """Run blocks in turn.

        Args:
            names: Names of the blocks.
            x: Input of the first block.

        Returns:
            The output of the last block.
        """
        for name in names:
            x = self.checkpointed(getattr(self, name), x)
        return x
