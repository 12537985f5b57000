"""Normalization layers that use the statistics of each image when they are tested."""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

__all__ = ['ImageBatchNorm2d', 'ImageInstanceNorm2d', 'use_image_statistics']


class ImageBatchNorm2d(_NormBase):
    """A batch normalization that normalizes each image alone in evaluation mode.

    In training mode, it computes like PyTorch's ``BatchNorm2d``. In evaluation mode, its result for
    an image is the result of training mode for a batch of this image alone, and the running
    statistics do not change.

    It is no subclass of ``BatchNorm2d``, so that ``sync_bn`` does not replace it by a layer with
    running statistics.

    Examples:
        >>> import torch
        >>> from mmspd.models.layers.image_statistics import ImageBatchNorm2d
        >>> norm, images = ImageBatchNorm2d(4), torch.rand(2, 4, 8, 8)
        >>> alone = torch.cat([norm.train()(image[None]) for image in images])
        >>> torch.allclose(norm.eval()(images), alone, atol=1e-6)
        True
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``(N, C, H, W)``."""
        if self.training:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            running = self.running_mean, self.running_var
            affine = self.weight, self.bias
            return F.batch_norm(x, *running, *affine, True, self.momentum or 0.0, self.eps)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


class ImageInstanceNorm2d(nn.InstanceNorm2d):
    """An instance normalization that ignores its running statistics in evaluation mode.

    The running statistics are updated in training mode and saved in state dicts.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``(N, C, H, W)``."""
        if self.training:
            return super().forward(x)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


def use_image_statistics(network: nn.Module) -> None:
    """Replace each ``BatchNorm2d`` of a network by an :class:`ImageBatchNorm2d`, in place.

    Args:
        network: The network.
    """
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                norm = ImageBatchNorm2d(child.num_features, child.eps, child.momentum)
                norm.load_state_dict(child.state_dict())
                setattr(module, name, norm)
