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
    """Residual UNet of three levels with additive skips.

    The paper calls it "the simplest UNet" (its reference [17]) and fixes only three levels and
    the skip sum ``f_de + f_en`` of Eq. 6. Widths and depths are chosen so that its cost fits the
    paper's run time: 4.9 M parameters and 45 GMAC at 256x256.

    Seams: ``dec3`` (the bottleneck, stride 4, where no skip exists), ``dec2`` and ``dec1``, each
    right after the skip sum.

    Args:
        base: channels at full resolution; the levels have ``base``, ``2 base`` and ``4 base``.
        num_res: residual blocks per level, in the encoder and again in the decoder.
        outputs: ``'all'`` for a list of one image, ``'last'`` for the image.
        with_cp: recompute the blocks' activations in the backward pass to save memory.
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
        """Restore ``(N, 3, H, W)``, H and W multiples of 4, to a list of one such image."""
        enc1 = self.checkpointed(self.encoders[0], self.intro(img))  # (N, C, H, W)
        enc2 = self.checkpointed(self.encoders[1], self.downs[0](enc1))  # (N, 2C, H/2, W/2)
        enc3 = self.checkpointed(self.encoders[2], self.downs[1](enc2))  # (N, 4C, H/4, W/4)

        dec = self.checkpointed(self.decoders[0], fuse('dec3', enc3))
        dec = fuse('dec2', self.ups[0](dec) + enc2)
        dec = self.checkpointed(self.decoders[1], dec)
        dec = fuse('dec1', self.ups[1](dec) + enc1)
        dec = self.checkpointed(self.decoders[2], dec)
        return [self.ending(dec) + img]
