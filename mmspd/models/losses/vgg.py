"""VGGLoss: the perceptual term of the paper (Eq. 8)."""

from functools import partial

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmspd.models.layers.training_only import TrainingOnly
from mmspd.registry import MODELS
from mmspd.weights.loading import load_renamed

__all__ = ['VGGLoss']

CONV3_3 = 14  # torchvision's place of the third convolution of the third block
URL = 'https://download.pytorch.org/models/vgg19-dcbb9e9d.pth'


def _build_vgg(weights: str) -> nn.Module:
    """VGG-19 features up to and including conv3_3, with weights."""
    from torchvision.models import vgg  # only training needs it

    features = vgg.make_layers(vgg.cfgs['E'])[: CONV3_3 + 1]
    if weights == 'random':
        return features
    names = {own: f'features.{own}' for own in features.state_dict()}
    key = 'VGGLoss weights (model.losses.loss_vgg.weights in the recipes)'
    load_renamed(features, names, weights, URL, key)
    return features


@MODELS.register_module()
class VGGLoss(BaseModule):
    """Mean squared error between VGG features of two images.

    The paper's VGG_{3,3} is DeblurGAN's: VGG-19, the third convolution of the third block, before
    its ReLU. Its network is training-only: built when training starts, in no state dict.

    Args:
        weights: ``'torchvision'`` downloads them when training starts; a file in torchvision's
            layout; or ``'random'``.
        loss_weight: alpha of Eq. 7.

    Raises:
        UserError: at the start of training, weights that cannot be had or do not fit.
    """

    def __init__(self, weights: str = 'torchvision', loss_weight: float = 0.01) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self._vgg = TrainingOnly(partial(_build_vgg, weights))
        mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        self.register_buffer('mean', mean, persistent=False)
        self.register_buffer('std', std, persistent=False)

    def init_weights(self) -> None:
        """Build the VGG now, so that missing weights end the training before it starts."""
        super().init_weights()
        self._vgg.get(self.mean.device)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compare images ``(N, 3, H, W)``, RGB, [0, 1]; returns a scalar."""
        vgg = self._vgg.get(pred.device)
        with torch.no_grad():
            expected = vgg((target - self.mean) / self.std)
        features = vgg((pred - self.mean) / self.std)
        return self.loss_weight * (features.float() - expected.float()).square().mean()
