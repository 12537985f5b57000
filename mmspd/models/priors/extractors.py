"""The prior extraction module F_S: a blurry image in, features m^1 ... m^L out."""

from typing import Any, Dict, List, Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.layers.feature_net import FeatureNet
from mmspd.registry import MODELS

__all__ = ['BackboneExtractor', 'ConvExtractor']


class _Residual(nn.Module):
    """conv3x3, ReLU, conv3x3, plus the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + x


@MODELS.register_module()
class ConvExtractor(nn.Module):
    """Light residual encoder, trained from scratch.

    Each level starts with a strided 3x3 convolution and goes on with residual blocks. The default
    costs 2.4 GMAC at 256x256; ``width=128, num_blocks=(4, 6, 8)`` comes near the run time that the
    paper's table implies.

    Args:
        width: channels of every level.
        strides: strides of the levels on the image, fine to coarse, each a multiple of the last;
            2/4/8 match a teacher with features at 4/8/16 that sees the image twice enlarged.
        num_blocks: residual blocks per level.

    Attributes:
        channels: channels of the levels.
        strides: strides of the levels.
    """

    def __init__(
        self,
        width: int = 48,
        strides: Sequence[int] = (2, 4, 8),
        num_blocks: Sequence[int] = (2, 4, 6),
    ) -> None:
        super().__init__()
        if len(strides) != len(num_blocks):
            raise UserError(
                f'ConvExtractor has {len(strides)} strides but {len(num_blocks)} num_blocks; '
                'state one number of blocks per level.'
            )
        self.strides = tuple(strides)
        self.channels = (width,) * len(self.strides)
        self.levels = nn.ModuleList()
        before, in_channels = 1, 3
        for stride, blocks in zip(self.strides, num_blocks):
            step, rest = divmod(stride, before)
            if rest or step < 1:
                raise UserError(
                    f'ConvExtractor strides={self.strides}: each must be a multiple of the one '
                    'before it.'
                )
            head = _strided(in_channels, width, step)
            self.levels.append(nn.Sequential(*head, *[_Residual(width) for _ in range(blocks)]))
            before, in_channels = stride, width

    def forward(self, img: Tensor) -> List[Tensor]:
        """Extract features.

        Args:
            img: blurry image ``(N, 3, H, W)``, RGB, [0, 1], sides multiples of the last stride.

        Returns:
            m^1 ... m^L, each ``(N, width, H / stride_i, W / stride_i)``, fine to coarse.
        """
        features, x = [], img
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


def _strided(in_channels: int, width: int, step: int) -> List[nn.Module]:
    """3x3 convolution with a step; steps over 2 first gather the pixels they would skip."""
    gather = step // 2 if step > 2 and step % 2 == 0 else 1
    head: List[nn.Module] = [nn.PixelUnshuffle(gather)] if gather > 1 else []
    conv = nn.Conv2d(in_channels * gather**2, width, 3, stride=step // gather, padding=1)
    return [*head, conv, nn.ReLU(inplace=True)]


@MODELS.register_module()
class BackboneExtractor(BaseModule):
    """Any mmpretrain, mmseg or timm backbone as F_S, from scratch or from pretrained weights.

    Given the teacher's own backbone, weights, normalization and scale, it starts as the teacher
    itself, shown the blurry image. Weights are loaded when training starts (``init_weights``),
    never for testing, where the checkpoint brings them.

    Args:
        backbone: config of the backbone; its levels fine to coarse.
        width: channels to which a 1x1 convolution reduces every level.
        weights: as in :class:`~mmspd.models.teachers.FeatureTeacher`; ``'random'`` trains from
            scratch.
        mean: RGB mean in 0..255.
        std: RGB standard deviation in 0..255.
        scale: how many times the image is enlarged before the backbone sees it.

    Attributes:
        channels: channels of the levels, all ``width``.
        strides: strides of the levels on the image.
    """

    def __init__(
        self,
        backbone: Dict[str, Any],
        weights: str,
        width: int = 48,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (255.0, 255.0, 255.0),
        scale: int = 1,
    ) -> None:
        super().__init__()
        self.net = FeatureNet(backbone, weights, mean, std, scale)
        self.net.eval()  # SyncBatchNorm in training refuses the shapes alone
        channels, self.strides = self.net.spec()
        self.net.cut_unused()
        self.net.freeze_unused()
        self.net.train()
        self.channels = (width,) * len(channels)
        self.reduce = nn.ModuleList(nn.Conv2d(wide, width, 1) for wide in channels)

    def init_weights(self) -> None:
        """Initialize the backbone, then load the weights that the config names."""
        super().init_weights()
        self.net.load_weights()

    def forward(self, img: Tensor) -> List[Tensor]:
        """Extract features.

        Args:
            img: blurry image ``(N, 3, H, W)``, RGB, [0, 1], sides multiples of the last stride.

        Returns:
            m^1 ... m^L, each ``(N, width, H / stride_i, W / stride_i)``, fine to coarse.
        """
        return [reduce(feature) for reduce, feature in zip(self.reduce, self.net(img))]
