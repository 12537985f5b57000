"""FeatureNorm: normalizes the channels of the teacher's features to mean 0 and variance 1."""

from typing import Any, Optional, Tuple

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn

__all__ = ['FeatureNorm']

_MOMENTUM = 0.1
_EPS = 1e-5


class FeatureNorm(nn.Module):
    """Normalizes every channel of features that need no gradient.

    Training mode uses the mean and variance over the images of all ranks. So two ranks with two
    images each give the same result as one rank with four images. Evaluation mode uses running
    averages.

    A BatchNorm is not used here, because MMEngine's ``sync_bn`` would replace it. The replacement
    does not compute in float32 under autocast and has no :meth:`undo`.

    Args:
        channels: Channels of the features.

    Attributes:
        process_group: The ranks that train together, as in SyncBatchNorm; ``None`` for all.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.process_group: Optional[Any] = None
        self.register_buffer('running_mean', torch.zeros(channels))
        self.register_buffer('running_var', torch.ones(channels))

    @torch.no_grad()
    def forward(self, features: Tensor) -> Tensor:
        """Normalize features.

        Args:
            features: Features ``(N, C, H, W)`` of any float type.

        Returns:
            Normalized features of the same shape, float32.
        """
        features = features.float()
        if not self.training or get_world_size(self.process_group) == 1:
            running = self.running_mean, self.running_var
            return F.batch_norm(
                features, *running, training=self.training, momentum=_MOMENTUM, eps=_EPS
            )
        mean, var, count = _moments_of_all_ranks(features, self.process_group)
        self.running_mean.lerp_(mean, _MOMENTUM)
        self.running_var.lerp_(var * count / (count - 1), _MOMENTUM)
        return (features - _as_map(mean)) * _as_map((var + _EPS).rsqrt())

    def undo(self, features: Tensor) -> Tensor:
        """Undo the normalization with the running averages.

        Args:
            features: Normalized features ``(N, C, H, W)``.

        Returns:
            Features of the same shape.
        """
        scale = (self.running_var + _EPS).sqrt()
        return features * _as_map(scale) + _as_map(self.running_mean)


def _moments_of_all_ranks(features: Tensor, group: Optional[Any]) -> Tuple[Tensor, Tensor, Tensor]:
    """Return the mean and variance of every channel over all ranks, and the number of pixels."""
    pixels = (0, 2, 3)
    # Use new_full, which fills the tensor on the device; a copy from the host would synchronize.
    count = features.new_full((1,), features[:, 0].numel())
    sums = torch.cat([features.sum(pixels), count])
    all_reduce(sums, group=group)
    count, mean = sums[-1], sums[:-1] / sums[-1]
    squares = (features - _as_map(mean)).square().sum(pixels)
    all_reduce(squares, group=group)
    return mean, squares / count, count


def _as_map(values: Tensor) -> Tensor:
    return values[:, None, None]
