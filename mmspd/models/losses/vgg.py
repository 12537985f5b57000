"""VGGLoss: the perceptual loss of the paper (Eq. 8)."""

from functools import partial

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmspd.models.layers.training_only import TrainingOnly
from mmspd.registry import MODELS
from mmspd.weights.loading import VGG19_URL, load_renamed

__all__ = ['VGGLoss']

CONV3_3 = 14  # torchvision's index of the third convolution of the third block


def _build_vgg(weights: str) -> nn.Module:
    """Build VGG-19 up to and including conv3_3, with weights."""
    from torchvision.models import vgg  # only training needs it

    features = vgg.make_layers(vgg.cfgs['E'])[: CONV3_3 + 1]
    if weights == 'random':
        return features
    names = {own: f'features.{own}' for own in features.state_dict()}
    key = 'VGGLoss weights (model.losses.loss_vgg.weights in the recipes)'
    load_renamed(features, names, weights, VGG19_URL, key)
    return features


@MODELS.register_module()
class VGGLoss(BaseModule):
    """Mean squared error between the VGG features of two images (Eq. 8).

    The paper's VGG_{3,3} is the network of DeblurGAN: VGG-19 up to the third convolution of the
    third block, before the ReLU. The network is built when training starts. State dicts do not
    contain it.

    Args:
        weights: ``'torchvision'`` downloads the weights when training starts; or a file in
            torchvision's layout; or ``'random'`` for tests without a download.
        loss_weight: Alpha of Eq. 7.

    Examples:
        >>> import torch
        >>> from mmspd.models.losses import VGGLoss
        >>> loss, image = VGGLoss(weights='random'), torch.rand(1, 3, 32, 32)
        >>> loss(image, image)
        tensor(0.)
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
        """Build the VGG network before training starts, so that missing weights are reported early.

        Raises:
            UserError: The weights are missing or do not fit.
        """
        super().init_weights()
        self._vgg.get(self.mean.device)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compare images.

        Args:
            pred: Restored images ``(N, 3, H, W)``, RGB, [0, 1].
            target: Sharp images of the same shape, RGB, [0, 1].

        Returns:
            A scalar, multiplied by ``loss_weight``.

        Raises:
            UserError: The weights are missing or do not fit.
        """
        vgg = self._vgg.get(pred.device)
        with torch.no_grad():
            expected = vgg((target - self.mean) / self.std)
        features = vgg((pred - self.mean) / self.std)
        return self.loss_weight * (features.float() - expected.float()).square().mean()
