"""PatchDiscriminator: the discriminator of DeblurGAN-v2."""

from typing import List

from torch import Tensor, nn

from mmspd.models.layers.image_statistics import InstanceNorm2d
from mmspd.registry import MODELS

__all__ = ['PatchDiscriminator']


@MODELS.register_module()
class PatchDiscriminator(nn.Module):
    """Rates the patches of an image, as in PatchGAN.

    DeblurGAN-v2 uses two discriminators: ``num_layers=3`` rates patches, and ``num_layers=5`` rates
    nearly the whole crop. The names in the state dict are those of the official code.

    Args:
        num_layers: Number of convolutions with stride 2.
        base: Channels of the first convolution.

    Examples:
        >>> import torch
        >>> from mmspd.models.discriminator import PatchDiscriminator
        >>> [PatchDiscriminator(n)(torch.rand(1, 3, 256, 256)).shape[-1] for n in (3, 5)]
        [35, 11]
    """

    def __init__(self, num_layers: int = 3, base: int = 64) -> None:
        super().__init__()
        widths = [base * min(2**number, 8) for number in range(num_layers + 1)]
        layers: List[nn.Module] = [_conv(3, base, 2), nn.LeakyReLU(0.2, inplace=True)]
        for number in range(1, num_layers + 1):
            layers += [
                _conv(widths[number - 1], widths[number], 2 if number < num_layers else 1),
                InstanceNorm2d(widths[number], track_running_stats=True),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.model = nn.Sequential(*layers, _conv(widths[-1], 1, 1))

    def forward(self, img: Tensor) -> Tensor:
        """Rate an image.

        Args:
            img: ``(N, 3, H, W)``, RGB, [0, 1].

        Returns:
            The ratings ``(N, 1, h, w)``; the discriminator learns larger ones for sharp images.
        """
        return self.model((img - 0.5) / 0.5)


def _conv(in_channels: int, channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 4, stride, padding=2)
