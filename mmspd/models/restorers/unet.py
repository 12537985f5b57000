"""UNet: the image deblurring branch (IDe) of the paper."""

from typing import List

from torch import Tensor, nn

from mmspd.models.restorers.base import Restorer
from mmspd.models.restorers.blocks import BasicConv, ResBlocks
from mmspd.models.seams import FuseFn
from mmspd.registry import MODELS

__all__ = ['UNet']


@MODELS.register_module()
class UNet(Restorer):
    """Residual U-Net of three levels with additive skips.

    The paper calls its network "the simplest UNet" (its reference [17]). The paper specifies only
    three levels and the skip sum ``f_de + f_en`` of Eq. 6. The widths and depths here are chosen so
    that the cost fits the paper's run time: 4.9 M parameters and 45 GMAC at 256x256.

    The seams are ``dec3`` (the bottleneck at stride 4, without a skip), ``dec2`` and ``dec1``.
    ``dec2`` and ``dec1`` come directly after the skip sums.

    Args:
        base: Channels at full resolution; the levels have ``base``, ``2 base`` and ``4 base``.
        num_res: Residual blocks per level in the encoder, and as many in the decoder.
        outputs: ``'all'`` returns a list of one image, ``'last'`` the image.
        with_cp: Recompute the blocks' activations in the backward pass to save memory.

    Raises:
        UserError: ``outputs`` is unknown.

    Examples:
        >>> import torch
        >>> from mmspd.models.restorers import UNet
        >>> [tuple(image.shape) for image in UNet(base=8, num_res=1)(torch.rand(1, 3, 35, 45))]
        [(1, 3, 35, 45)]
    """

    multiple = 4
    seams = ('dec3', 'dec2', 'dec1')

    def __init__(
        self, base: int = 32, num_res: int = 6, outputs: str = 'all', with_cp: bool = False
    ) -> None:
        super().__init__(outputs, with_cp)
        widths = (base, base * 2, base * 4)
        self.intro = nn.Conv2d(3, base, 3, padding=1)
        self.encoders = nn.ModuleList(ResBlocks(width, num_res) for width in widths)
        self.downs = nn.ModuleList(
            BasicConv(wide, wide * 2, 3, stride=2, relu=False) for wide in widths[:-1]
        )
        self.decoders = nn.ModuleList(ResBlocks(width, num_res) for width in reversed(widths))
        self.ups = nn.ModuleList(
            BasicConv(wide, wide // 2, 4, stride=2, relu=False, transpose=True)
            for wide in reversed(widths[1:])
        )
        self.ending = nn.Conv2d(base, 3, 3, padding=1)

    def forward_padded(self, img: Tensor, fuse: FuseFn) -> List[Tensor]:
        """Restore an image.

        Args:
            img: Blurry image ``(N, 3, H, W)``; H and W are multiples of 4.
            fuse: Function that is called at every seam.

        Returns:
            A list of one image ``(N, 3, H, W)``.
        """
        enc1 = self.checkpointed(self.encoders[0], self.intro(img))  # (N, C, H, W)
        enc2 = self.checkpointed(self.encoders[1], self.downs[0](enc1))  # (N, 2C, H/2, W/2)
        enc3 = self.checkpointed(self.encoders[2], self.downs[1](enc2))  # (N, 4C, H/4, W/4)

        dec = self.checkpointed(self.decoders[0], fuse('dec3', enc3))
        dec = fuse('dec2', self.ups[0](dec) + enc2)
        dec = self.checkpointed(self.decoders[1], dec)
        dec = fuse('dec1', self.ups[1](dec) + enc1)
        dec = self.checkpointed(self.decoders[2], dec)
        return [self.ending(dec) + img]
