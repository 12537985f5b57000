"""A backbone of a high-level vision task, seen as a map from an image in [0, 1] to features."""

from typing import Any, Dict, NamedTuple, Sequence, Set, Tuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.layers.shape_inference import shapes_only
from mmspd.registry import build_model
from mmspd.weights.loading import load_backbone_weights

__all__ = ['FeatureNet', 'FeatureSpec']


class FeatureSpec(NamedTuple):
    """Channels of the feature levels, and their strides on the image before ``scale``."""

    channels: Tuple[int, ...]
    strides: Tuple[int, ...]


class FeatureNet(BaseModule):
    """Backbone with its own input scale and normalization, returning features fine to coarse.

    Args:
        backbone: config of an mmpretrain, mmseg or (through ``mmpretrain.TIMMBackbone``) timm
            backbone that returns the feature levels, fine to coarse.
        weights: file, URL or mmengine scheme (``torchvision://resnet50``) to load strictly;
            ``'timm'`` for the weights timm itself downloads; ``'random'`` for none.
        mean: RGB mean in 0..255, as in the project's data preprocessor.
        std: RGB standard deviation in 0..255.
        scale: how many times the image is enlarged (bilinear) before the backbone sees it.
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
        """Load the weights that the config names into the backbone, strictly.

        Raises:
            UserError: they cannot be had, or do not belong to this backbone.
        """
        if self.weights != 'random':
            load_backbone_weights(self.backbone, self.weights, self.backbone_cfg)

    def spec(self, side: int = 256) -> FeatureSpec:
        """Read channels and strides by one forward on the meta device."""
        with shapes_only(self):
            features = self(torch.empty(2, 3, side, side, device='meta'))
        return FeatureSpec(
            tuple(feature.shape[1] for feature in features),
            tuple(side // feature.shape[-1] for feature in features),
        )

    def unused_parameters(self, side: int = 256) -> Set[str]:
        """Names of the trainable parameters that no feature level depends on.

        Many backbones keep their deeper stages.
        """
        with shapes_only(self, grad=True):
            # not through a subclass, which may compute without gradients
            features = FeatureNet.forward(self, torch.empty(2, 3, side, side, device='meta'))
            trained = {name: p for name, p in self.named_parameters() if p.requires_grad}
            total = torch.stack([feature.sum() for feature in features]).sum()
            gradients = torch.autograd.grad(total, list(trained.values()), allow_unused=True)
        return {name for name, gradient in zip(trained, gradients) if gradient is None}

    def freeze_unused(self) -> None:
        """Take unused parameters out of training: without a gradient they would stop DDP."""
        unused = self.unused_parameters()
        for name, parameter in self.named_parameters():
            if name in unused:
                parameter.requires_grad_(False)

    def cut_unused(self) -> None:
        """Drop the stages at the ends of sequences that no feature level depends on.

        timm's EfficientNets run them nevertheless.
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
        """Enlarge and normalize an image ``(N, 3, H, W)``, RGB, [0, 1], for the backbone."""
        if self.scale != 1:
            img = F.interpolate(img, scale_factor=self.scale, mode='bilinear', align_corners=False)
        return (img - self.mean) / self.std

    def forward(self, img: Tensor) -> Tuple[Tensor, ...]:
        """Extract features.

        Args:
            img: ``(N, 3, H, W)``, RGB, [0, 1].

        Returns:
            One map ``(N, C_i, H / s_i, W / s_i)`` per level, fine to coarse.
        """
        features = self.backbone(self.prepare(img))
        return tuple(features) if isinstance(features, (tuple, list)) else (features,)


def _from_scratch(backbone: Dict[str, Any]) -> Dict[str, Any]:
    """Config of the backbone without weight loading of its own, which would not be strict."""
    for part in backbone.values():
        if isinstance(part, dict):
            _from_scratch(part)
    if backbone.get('init_cfg') or backbone.get('pretrained') or backbone.get('checkpoint_path'):
        raise UserError(
            'A teacher or extractor backbone must not load weights itself (init_cfg, pretrained, '
            "checkpoint_path); name them by the key weights='...' beside backbone=dict(...)."
        )
    return backbone
