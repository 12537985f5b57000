"""ImageNetMSELoss: the pixel loss of DeblurGAN-v2."""

import torch
from torch import Tensor, nn

from mmspd.registry import MODELS

__all__ = ['ImageNetMSELoss']


@MODELS.register_module()
class ImageNetMSELoss(nn.Module):
    """Mean squared error of images that are divided by the standard deviations of ImageNet.

    The content loss of DeblurGAN-v2 normalizes the images for VGG in place, and then compares their
    pixels too. So this term is about 19 times as large as on images in [0, 1]. The official code
    normalizes only the first image of a batch, but its batch is one image. Here all images of a
    batch are normalized.

    Args:
        loss_weight: Weight of the loss.

    Examples:
        >>> import torch
        >>> from mmspd.models.losses import ImageNetMSELoss
        >>> loss = ImageNetMSELoss(loss_weight=0.5)
        >>> loss(torch.full((1, 3, 4, 4), 0.6), torch.full((1, 3, 4, 4), 0.5))
        tensor(0.0979)
    """

    std: Tensor

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        self.register_buffer('std', std, persistent=False)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compare images.

        Args:
            pred: Restored images ``(N, 3, H, W)``, RGB, [0, 1].
            target: Sharp images of the same shape.

        Returns:
            A scalar, multiplied by ``loss_weight``.
        """
        return self.loss_weight * ((pred - target) / self.std).square().mean()
