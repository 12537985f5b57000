"""Normalization layers that use the statistics of each image."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

__all__ = [
    'ImageBatchNorm2d',
    'ImageInstanceNorm2d',
    'InstanceNorm2d',
    'instance_norm',
    'use_image_statistics',
]


def instance_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Normalize every channel of ``(N, C, H, W)`` over its pixels.

    A single pixel is normalized to ``bias``. The pixels are passed to PyTorch as one dimension,
    because it computes wrong gradients of two dimensions on the CPU, if the gradient of a single
    image has the channels-last memory format.

    Args:
        x: Features ``(N, C, H, W)``.
        weight: Factors ``(C,)``.
        bias: Terms ``(C,)``.
        eps: Added to the variances.

    Returns:
        Normalized features of the same shape.

    Examples:
        >>> import torch
        >>> from mmspd.models.layers.image_statistics import instance_norm
        >>> instance_norm(torch.tensor([[[[1.0, 3.0]]]]), torch.ones(1), torch.zeros(1), eps=0)
        tensor([[[[-1.,  1.]]]])
    """
    cudnn = torch.backends.cudnn.enabled
    flat = torch.instance_norm(x.flatten(2), weight, bias, None, None, True, 0.0, eps, cudnn)
    return flat.view(x.shape)


class InstanceNorm2d(nn.InstanceNorm1d):
    """PyTorch's ``InstanceNorm2d`` with the gradients of :func:`instance_norm`."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``(N, C, H, W)``."""
        return super().forward(x.flatten(2)).view(x.shape)


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
        return instance_norm(x, self.weight, self.bias, self.eps)


class ImageInstanceNorm2d(InstanceNorm2d):
    """An instance normalization that ignores its running statistics in evaluation mode.

    The running statistics are updated in training mode and saved in state dicts.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``(N, C, H, W)``."""
        if self.training:
            return super().forward(x)
        return instance_norm(x, self.weight, self.bias, self.eps)


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
