"""FeatureNorm: the teacher's features with every channel at mean 0 and variance 1."""

from typing import Tuple

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn

__all__ = ['FeatureNorm']


class FeatureNorm(nn.BatchNorm2d):
    """Normalise every channel of features that need no gradient.

    In training by mean and variance over the images of all ranks, so that two ranks of two images
    get what one of four gets; otherwise by their running averages.

    Args:
        channels: channels of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=False)

    @torch.no_grad()
    def forward(self, features: Tensor) -> Tensor:
        """Normalise.

        Args:
            features: ``(N, C, H, W)``, any float type.

        Returns:
            The same shape, float32.
        """
        features = features.float()
        if not self.training or get_world_size() == 1:
            return super().forward(features)
        mean, var, count = _moments_of_all_ranks(features)
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var * count / (count - 1), self.momentum)
        return (features - _as_map(mean)) * _as_map((var + self.eps).rsqrt())

    def undo(self, features: Tensor) -> Tensor:
        """Bring normalised features ``(N, C, H, W)`` back, by the running averages."""
        scale = (self.running_var + self.eps).sqrt()
        return features * _as_map(scale) + _as_map(self.running_mean)


def _moments_of_all_ranks(features: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    """Mean and variance of every channel over all ranks' images, and of how many pixels."""
    pixels = (0, 2, 3)
    sums = torch.cat([features.sum(pixels), features.new_tensor([features[:, 0].numel()])])
    all_reduce(sums)
    count, mean = sums[-1], sums[:-1] / sums[-1]
    squares = (features - _as_map(mean)).square().sum(pixels)
    all_reduce(squares)
    return mean, squares / count, count


def _as_map(values: Tensor) -> Tensor:
    return values[:, None, None]
