"""Networks of the control experiments: which part of a pretrained extractor makes the gain?"""

from typing import Any, Dict, List, Sequence

import torch
from torch import Tensor, nn

from mmspd.models.layers.feature_net import FeatureNet
from mmspd.models.priors import BackboneExtractor
from mmspd.models.priors.spl import normalize_pixels
from mmspd.models.restorers.base import Restorer
from mmspd.models.restorers.blocks import BasicConv, ResBlocks
from mmspd.models.seams import FuseFn
from mmspd.registry import MODELS

__all__ = ['ControlExtractor', 'EncoderUNet']


@MODELS.register_module()
class ControlExtractor(BackboneExtractor):
    """A backbone that starts with only a part of the information in its pretrained weights.

    Args:
        permute: Permute the values inside the weights of each convolution. This keeps the
            distribution of the values and removes what the filters have learned.
        keep: Prefixes of the names of the weights that are loaded; all other weights stay random.
            By default, all weights are loaded.
        **options: Arguments of :class:`~mmspd.models.priors.extractors.BackboneExtractor`.
    """

    def __init__(self, permute: bool = False, keep: Sequence[str] = ('',), **options: Any) -> None:
        super().__init__(**options)
        self.permute = permute
        self.keep = tuple(keep)

    def init_weights(self) -> None:
        """Load the weights, then undo the part that the arguments exclude."""
        backbone = self.net.backbone
        fresh = {name: value.clone() for name, value in backbone.state_dict().items()}
        super().init_weights()
        with torch.no_grad():
            for name, value in backbone.state_dict().items():
                if not _of_model(name).startswith(self.keep):
                    value.copy_(fresh[name])
            for module in backbone.modules():
                if self.permute and isinstance(module, nn.Conv2d):
                    values = module.weight.flatten()
                    shuffled = values[torch.randperm(len(values))]
                    module.weight.copy_(shuffled.view_as(module.weight))


def _of_model(name: str) -> str:
    """Return the name of a weight without the prefix of MMPretrain's wrapper."""
    return name.removeprefix('timm_model.')


@MODELS.register_module()
class EncoderUNet(Restorer):
    """A U-Net with a high-level backbone as its encoder, as in DeblurGAN-v2, without a prior.

    The decoder has residual blocks at every stride, from the coarsest level of the backbone to the
    full resolution. At each stride, it adds the level of the backbone after a 1x1 convolution and
    the normalization of a pretrained prior. At the full resolution, it adds the image after a 3x3
    convolution.

    Args:
        base: Channels at full resolution. Strides 2 and above 2 have 2 and 4 times as many.
        num_res: Residual blocks per stride.
        outputs: ``'all'`` returns a list of one image, ``'last'`` the image.
        with_cp: Recompute the blocks' activations in the backward pass to save memory.
        **backbone: Arguments of :class:`~mmspd.models.layers.feature_net.FeatureNet`.

    Source: Kupyn et al., "DeblurGAN-v2: Deblurring (Orders-of-Magnitude) Faster and Better", ICCV
    2019, for the idea of a pretrained backbone as the encoder.
    """

    seams = ()

    def __init__(
        self,
        base: int = 16,
        num_res: int = 3,
        outputs: str = 'all',
        with_cp: bool = False,
        **backbone: Any,
    ) -> None:
        super().__init__(outputs, with_cp)
        self.encoder = FeatureNet(**backbone)
        self.encoder.eval()  # the statistics must not see the meta tensors of spec()
        channels, self.strides = self.encoder.spec()
        self.encoder.cut_unused()
        self.encoder.freeze_unused()
        self.encoder.train()
        self.multiple = max(self.strides)
        widths: Dict[int, int] = {1: base}
        for power in range(1, self.multiple.bit_length()):
            widths[2**power] = base * min(2**power, 4)
        self.intro = nn.Conv2d(3, base, 3, padding=1)
        self.lateral = nn.ModuleList(
            nn.Conv2d(wide, widths[stride], 1) for wide, stride in zip(channels, self.strides)
        )
        coarse_to_fine = sorted(widths, reverse=True)
        self.ups = nn.ModuleList(
            BasicConv(widths[2 * stride], widths[stride], 4, stride=2, relu=False, transpose=True)
            for stride in coarse_to_fine[1:]
        )
        self.decoders = nn.ModuleList(ResBlocks(widths[s], num_res) for s in coarse_to_fine)
        self.ending = nn.Conv2d(base, 3, 3, padding=1)

    def init_weights(self) -> None:
        """Load the weights of the encoder."""
        self.encoder.load_weights()

    def forward_padded(self, img: Tensor, fuse: FuseFn) -> List[Tensor]:
        """Restore an image.

        Args:
            img: Blurry image ``(N, 3, H, W)``; H and W are multiples of :attr:`multiple`.
            fuse: Not used.

        Returns:
            A list of one image ``(N, 3, H, W)``.
        """
        features = zip(self.strides, self.lateral, self.encoder(img))
        skips = {
            stride: normalize_pixels(lateral(feature)) for stride, lateral, feature in features
        }
        skips[1] = self.intro(img)
        stride = self.multiple
        dec = self.checkpointed(self.decoders[0], skips[stride])
        for up, decoder in zip(self.ups, self.decoders[1:]):
            stride //= 2
            dec = up(dec)
            if stride in skips:
                dec = dec + skips[stride]
            dec = self.checkpointed(decoder, dec)
        return [self.ending(dec) + img]
