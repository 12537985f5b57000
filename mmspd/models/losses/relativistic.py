"""RelativisticLoss: the adversarial loss of DeblurGAN-v2 (RaGAN-LS)."""

import torch
from torch import Tensor, nn

from mmspd.registry import MODELS

__all__ = ['RelativisticLoss']


class RatingPool(nn.Module):
    """The mean ratings of the last images. It is part of checkpoints.

    Args:
        size: Number of images.
    """

    ratings: Tensor
    count: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer('ratings', torch.zeros(size))  # the newest one last
        self.register_buffer('count', torch.tensor(0))

    def add(self, ratings: Tensor) -> None:
        """Add the ratings of a batch, ``(N, 1, h, w)``. They replace the oldest ones."""
        means = ratings.detach().float().mean((1, 2, 3))
        size = len(self.ratings)
        self.ratings.copy_(torch.cat([self.ratings, means])[-size:])
        self.count.add_(len(means)).clamp_(max=size)

    def mean(self) -> Tensor:
        """Return the mean rating of the images in the pool."""
        return self.ratings.sum() / self.count


@MODELS.register_module()
class RelativisticLoss(nn.Module):
    r"""The relativistic least-squares loss of a discriminator D and of the generator (RaGAN-LS).

    Ratings of sharp images r and of restored images f are compared with the mean ratings of the
    last restored images :math:`\bar f` and of the last sharp images :math:`\bar r`.

    .. math::
        L_D = \tfrac12 E[(r - \bar f - 1)^2] + \tfrac12 E[(f - \bar r + 1)^2], \quad
        L_G = \tfrac12 E[(r - \bar f + 1)^2] + \tfrac12 E[(f - \bar r - 1)^2]

    Args:
        pool_size: Number of images whose ratings are kept. All images must have one size.

    Examples:
        >>> import torch
        >>> from mmspd.models.losses import RelativisticLoss
        >>> loss = RelativisticLoss()
        >>> sharp, restored = torch.full((1, 1, 3, 3), 0.5), torch.zeros(1, 1, 3, 3)
        >>> loss.of_discriminator(sharp, restored), loss.of_generator(sharp, restored)
        (tensor(0.2500), tensor(2.2500))
    """

    def __init__(self, pool_size: int = 50) -> None:
        super().__init__()
        self.sharp = RatingPool(pool_size)
        self.restored = RatingPool(pool_size)

    def of_discriminator(self, sharp: Tensor, restored: Tensor) -> Tensor:
        """Add ratings to the pools, and compute the loss of the discriminator.

        Args:
            sharp: Ratings of sharp images ``(N, 1, h, w)``.
            restored: Ratings of restored images ``(N, 1, h, w)``.

        Returns:
            A scalar.
        """
        self.sharp.add(sharp)
        self.restored.add(restored)
        return self._compare(sharp, restored, 1.0)

    def of_generator(self, sharp: Tensor, restored: Tensor) -> Tensor:
        """Compute the loss of the generator. The pools do not change.

        Args:
            sharp: Ratings of sharp images ``(N, 1, h, w)``.
            restored: Ratings of restored images ``(N, 1, h, w)``.

        Returns:
            A scalar.
        """
        return self._compare(sharp, restored, -1.0)

    def _compare(self, sharp: Tensor, restored: Tensor, margin: float) -> Tensor:
        above = (sharp.float() - self.restored.mean() - margin).square().mean()
        below = (restored.float() - self.sharp.mean() + margin).square().mean()
        return (above + below) / 2
