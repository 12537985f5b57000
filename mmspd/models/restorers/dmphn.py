"""DMPHN in the 1-2-4 form.

Source: Zhang et al., "Deep Stacked Hierarchical Multi-patch Network", CVPR 2019.
"""

import math
from collections import OrderedDict
from functools import partial
from typing import List

from torch import Tensor, nn

from mmspd.models.restorers.base import Restorer
from mmspd.models.restorers.blocks import ConvPair
from mmspd.models.restorers.patches import COLUMNS, ROWS, join, run_on_patches, split
from mmspd.models.seams import FuseFn, no_fuse
from mmspd.registry import MODELS
from mmspd.weights.published import Family, Published, register_family

__all__ = ['DMPHN']

# A dict from the name of a decoder layer to the name of the seam before this layer.
SEAM_BEFORE = {'layer13': 'dec3', 'layer17': 'dec2', 'layer21': 'dec1'}


def _encoder(base: int) -> nn.Sequential:
    """Make an encoder from an image to features of ``4 base`` channels at stride 4."""

    def down(channels: int) -> nn.Conv2d:
        return nn.Conv2d(channels, channels * 2, 3, stride=2, padding=1)

    return nn.Sequential(
        OrderedDict(
            layer1=nn.Conv2d(3, base, 3, padding=1),
            layer2=ConvPair(base, 3),
            layer3=ConvPair(base, 3),
            layer5=down(base),
            layer6=ConvPair(base * 2, 3),
            layer7=ConvPair(base * 2, 3),
            layer9=down(base * 2),
            layer10=ConvPair(base * 4, 3),
            layer11=ConvPair(base * 4, 3),
        )
    )


def _decoder(base: int) -> nn.Sequential:
    """Make a decoder from features of ``4 base`` channels at stride 4 to an image."""

    def up(channels: int) -> nn.ConvTranspose2d:
        return nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1)

    return nn.Sequential(
        OrderedDict(
            layer13=ConvPair(base * 4, 3),
            layer14=ConvPair(base * 4, 3),
            layer16=up(base * 4),
            layer17=ConvPair(base * 2, 3),
            layer18=ConvPair(base * 2, 3),
            layer20=up(base * 2),
            layer21=ConvPair(base, 3),
            layer22=ConvPair(base, 3),
            layer24=nn.Conv2d(base, 3, 3, padding=1),
        )
    )


def _initialize(module: nn.Module) -> None:
    """Draw the initial weights of a convolution or a transposed convolution."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        fan_out = math.prod(module.kernel_size) * module.out_channels
        nn.init.normal_(module.weight, std=0.5 * math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@MODELS.register_module()
class DMPHN(Restorer):
    """Multi-patch hierarchy (1-2-4) with the state-dict names and numerics of the official code.

    The network has 5.4 M parameters in three pairs of encoder and decoder. Level 3 restores the
    four quarters of the image, level 2 the upper and the lower half, level 1 the whole image. Level
    3 passes its residual image and its features to level 2, and level 2 passes its own to level 1.
    The result is the output of level 1; the input is not added. The patches of a level run as one
    batch, or for inference on a CPU one after another. The results are equal, because the network
    has no operations across the batch.

    Each of the six official files (``encoder_lv1`` ... ``decoder_lv3``) contains the state dict of
    the child with the same name.

    The initial weights are drawn as in the official code: from a normal distribution with the
    standard deviation ``0.5 sqrt(2 / (k^2 C_out))`` for a kernel of side k. The biases are zero.

    The seams are in the decoder of level 1, which decodes the whole image. They are the inputs of
    its three scales: ``dec3`` (stride 4), ``dec2`` and ``dec1``. DMPHN has no skips.

    Args:
        base: Channels at full resolution; official 32.
        outputs: ``'all'`` returns a list of one image, ``'last'`` the image.
        with_cp: Recompute the blocks' activations in the backward pass to save memory.

    Raises:
        UserError: ``outputs`` is unknown.

    Examples:
        >>> import torch
        >>> from mmspd.models.restorers import DMPHN
        >>> [tuple(image.shape) for image in DMPHN(base=8)(torch.rand(1, 3, 32, 48))]
        [(1, 3, 32, 48)]
    """

    multiple = 8
    seams = tuple(SEAM_BEFORE.values())

    def __init__(self, base: int = 32, outputs: str = 'all', with_cp: bool = False) -> None:
        super().__init__(outputs, with_cp)
        self.encoder_lv1 = _encoder(base)
        self.encoder_lv2 = _encoder(base)
        self.encoder_lv3 = _encoder(base)
        self.decoder_lv1 = _decoder(base)
        self.decoder_lv2 = _decoder(base)
        self.decoder_lv3 = _decoder(base)
        self.apply(_initialize)

    def forward_padded(self, img: Tensor, fuse: FuseFn) -> List[Tensor]:
        """Restore an image.

        Args:
            img: Blurry image ``(N, 3, H, W)``; H and W are multiples of 8.
            fuse: Function that is called at every seam.

        Returns:
            A list of one image ``(N, 3, H, W)``.
        """
        whole = img - 0.5
        halves = split(whole, ROWS)  # (2N, 3, H/2, W)
        quarters = split(halves, COLUMNS)  # (4N, 3, H/2, W/2)

        feature3 = self._on_patches(self.encoder_lv3, quarters, 4)  # (4N, 4C, H/8, W/8)
        feature3 = join(feature3, COLUMNS)  # (2N, 4C, H/8, W/4)
        residual = self._on_patches(self.decoder_lv3, feature3, 2)  # (2N, 3, H/2, W)
        feature2 = self._on_patches(self.encoder_lv2, halves + residual, 2) + feature3
        feature2 = join(feature2, ROWS)  # (N, 4C, H/4, W/4)
        residual = self._through(self.decoder_lv2, feature2)  # (N, 3, H, W)
        feature1 = self._through(self.encoder_lv1, whole + residual) + feature2
        sharp = self._through(self.decoder_lv1, feature1, fuse)
        # Convert to the image's type first, because the sum would lose bits in half precision.
        return [sharp.to(img.dtype) + 0.5]

    def _on_patches(self, layers: nn.Sequential, patches: Tensor, count: int) -> Tensor:
        return run_on_patches(partial(self._through, layers), patches, count)

    def _through(self, layers: nn.Sequential, x: Tensor, fuse: FuseFn = no_fuse) -> Tensor:
        """Run an encoder or a decoder with its seams."""
        for name, layer in layers.named_children():
            if name in SEAM_BEFORE:
                x = fuse(SEAM_BEFORE[name], x)
            # Do not checkpoint a single convolution: the next block stores its result anyway.
            x = self.checkpointed(layer, x) if isinstance(layer, ConvPair) else layer(x)
        return x


register_family(
    Family(
        'mmspd.DMPHN',
        'DMPHN',
        marks=('encoder_lv1.layer1.weight', 'decoder_lv3.layer24.weight'),
        sizes=lambda state: dict(base=state['encoder_lv1.layer1.weight'].shape[0]),
        published=(Published('dmphn', 'DMPHN', dict(base=32)),),
        parts=tuple(f'{part}_lv{level}' for part in ('encoder', 'decoder') for level in (1, 2, 3)),
    )
)
