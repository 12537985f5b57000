"""The prior extraction modules F_S: they map a blurry image to features m^1 ... m^L."""

from typing import Any, Dict, List, Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmspd.errors import UserError
from mmspd.models.layers.feature_net import FeatureNet
from mmspd.registry import MODELS

__all__ = ['BackboneExtractor', 'ConvExtractor']


class _Residual(nn.Module):
    """Residual block: conv3x3, ReLU, conv3x3, plus the input."""

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
    """A light residual encoder that is trained from scratch.

    Each level is a strided 3x3 convolution and residual blocks. The default costs 2.4 GMAC at
    256x256. ``width=128, num_blocks=(4, 6, 8)`` approximates the run time that can be derived from
    the paper's table.

    Args:
        width: Channels of every level.
        strides: Strides of the levels with respect to the image, fine to coarse. Each stride must
            be a multiple of the previous stride. The default 2/4/8 fits a teacher with features at
            strides 4/8/16, to which the prior loss pools the prior.
        num_blocks: Residual blocks of each level.

    Attributes:
        channels: Channels of the levels.
        strides: Strides of the levels.

    Raises:
        UserError: ``strides`` and ``num_blocks`` have different lengths, or a stride is not a
            multiple of the previous stride.

    Examples:
        >>> import torch
        >>> from mmspd.models.priors import ConvExtractor
        >>> extractor = ConvExtractor(width=16, strides=(2, 4), num_blocks=(1, 1))
        >>> [tuple(level.shape) for level in extractor(torch.rand(1, 3, 32, 48))]
        [(1, 16, 16, 24), (1, 16, 8, 12)]
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
                'give one number of blocks per level.'
            )
        self.strides = tuple(strides)
        self.channels = (width,) * len(self.strides)
        self.levels = nn.ModuleList()
        before, in_channels = 1, 3
        for stride, blocks in zip(self.strides, num_blocks):
            step, rest = divmod(stride, before)
            if rest or step < 1:
                raise UserError(
                    f'ConvExtractor has strides={self.strides}; make each stride a multiple of the '
                    'previous stride.'
                )
            head = _strided(in_channels, width, step)
            self.levels.append(nn.Sequential(*head, *[_Residual(width) for _ in range(blocks)]))
            before, in_channels = stride, width

    def forward(self, img: Tensor) -> List[Tensor]:
        """Extract features.

        Args:
            img: Blurry image ``(N, 3, H, W)``, RGB, [0, 1]; H and W are multiples of the last
                stride.

        Returns:
            The levels m^1 ... m^L, each ``(N, width, H / stride_i, W / stride_i)``, fine to coarse.
        """
        features, x = [], img
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


def _strided(in_channels: int, width: int, step: int) -> List[nn.Module]:
    """Make a strided 3x3 convolution; for even steps above 2, a pixel unshuffle comes first."""
    gather = step // 2 if step > 2 and step % 2 == 0 else 1
    head: List[nn.Module] = [nn.PixelUnshuffle(gather)] if gather > 1 else []
    conv = nn.Conv2d(in_channels * gather**2, width, 3, stride=step // gather, padding=1)
    return [*head, conv, nn.ReLU(inplace=True)]


@MODELS.register_module()
class BackboneExtractor(BaseModule):
    """An mmpretrain, mmseg or timm backbone as F_S, from scratch or from pretrained weights.

    If ``backbone``, ``weights``, ``mean``, ``std`` and ``scale`` equal those of the teacher, the
    backbone starts as a copy of the teacher's backbone. Its input is still the blurry image. The
    weights are loaded when training starts (``init_weights``). They are not read for testing,
    because the checkpoint contains them.

    Args:
        backbone: Config of a backbone that returns the feature levels, fine to coarse.
        weights: Source of the weights, in the same forms as in
            :class:`~mmspd.models.teachers.feature_teacher.FeatureTeacher`; ``'random'`` trains
            from scratch.
        width: Channels of every level after a 1x1 convolution.
        mean: RGB mean in 0..255 for the normalization.
        std: RGB standard deviation in 0..255 for the normalization.
        scale: Factor by which the image is enlarged before the backbone.
        norm_eval: Keep the batch normalizations in evaluation mode during training: they use the
            statistics that were loaded with the weights, and not those of the batch.
        frozen: Do not train the backbone, and keep it in evaluation mode. The 1x1 convolutions
            after the backbone are still trained.

    Attributes:
        channels: Channels of the levels, all ``width``.
        strides: Strides of the levels with respect to the image.

    Raises:
        UserError: The config of the backbone makes the backbone load weights itself, or random
            weights would not be trained, or would keep their initial statistics.

    Examples:
        >>> import torch
        >>> from mmspd.registry import build_model
        >>> backbone = dict(type='mmpretrain.ResNet', depth=18, out_indices=(0, 1))
        >>> cfg = dict(type='mmspd.BackboneExtractor', backbone=backbone, weights='random', scale=2)
        >>> extractor = build_model(cfg, width=16)
        >>> extractor.strides
        (2, 4)
        >>> [tuple(level.shape) for level in extractor(torch.rand(1, 3, 32, 32))]
        [(1, 16, 16, 16), (1, 16, 8, 8)]
    """

    def __init__(
        self,
        backbone: Dict[str, Any],
        weights: str,
        width: int = 48,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (255.0, 255.0, 255.0),
        scale: int = 1,
        norm_eval: bool = False,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        if weights == 'random' and (norm_eval or frozen):
            option = 'frozen' if frozen else 'norm_eval'
            raise UserError(
                f"The extractor has {option}=True and weights='random'; set weights to pretrained "
                f'weights, or remove {option}.'
            )
        self.norm_eval = norm_eval
        self.frozen = frozen
        self.net = FeatureNet(backbone, weights, mean, std, scale)
        self.net.eval()  # SyncBatchNorm in training mode fails on the meta device
        channels, self.strides = self.net.spec()
        self.net.cut_unused()
        self.net.freeze_unused()
        if frozen:
            self.net.requires_grad_(False)
        self.channels = (width,) * len(channels)
        self.reduce = nn.ModuleList(nn.Conv2d(wide, width, 1) for wide in channels)
        self.train()

    def train(self, mode: bool = True) -> 'BackboneExtractor':
        """Choose the mode of the module, except the parts that stay in evaluation mode.

        Args:
            mode: True for training, False for evaluation.
        """
        super().train(mode)
        if self.frozen:
            self.net.eval()
        elif self.norm_eval:
            for module in self.net.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def init_weights(self) -> None:
        """Initialize the backbone, then load the weights that the config names.

        Raises:
            UserError: The weights are missing or do not fit.
        """
        super().init_weights()
        self.net.load_weights()

    def forward(self, img: Tensor) -> List[Tensor]:
        """Extract features.

        Args:
            img: Blurry image ``(N, 3, H, W)``, RGB, [0, 1]; H and W are multiples of the last
                stride.

        Returns:
            The levels m^1 ... m^L, each ``(N, width, H / stride_i, W / stride_i)``, fine to coarse.
        """
        return [reduce(feature) for reduce, feature in zip(self.reduce, self.net(img))]
