"""HCL: the hierarchical context loss, and the distillation loss of the prior (Eq. 2 and 4)."""

import math
from typing import Any, Dict, List, Optional, Sequence, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.losses.feature_norm import FeatureNorm
from mmspd.registry import MODELS, build_model

__all__ = ['HCLLoss', 'PriorDistillationLoss']


def _pools(difference: Tensor, factors: Sequence[int]) -> List[Tensor]:
    """Average-pool a map by each factor, except factors that are larger than the map.

    For factor 1, the map itself is returned, because autograd would store a copy of a pooled map.
    """
    side = min(difference.shape[-2:])
    fitting = [factor for factor in factors if factor <= side]
    return [difference if k == 1 else F.avg_pool2d(difference, k) for k in fitting]


def _mse(student: Tensor, teacher: Tensor, factors: Sequence[int]) -> Tensor:
    """Sum the mean squared errors over the pooling factors."""
    difference = student - teacher  # pooling is linear, so one map is pooled instead of two
    return torch.stack([level.square().mean() for level in _pools(difference, factors)]).sum()


def _literal(student: Tensor, teacher: Tensor, factors: Sequence[int]) -> Tensor:
    """Compute Eq. 2 as printed for each image, and average over the images."""
    difference = student - teacher
    height, width = difference.shape[-2:]
    pooled = _pools(difference, factors)
    norms = [torch.linalg.vector_norm(level, dim=(1, 2, 3)).mean() for level in pooled]
    return torch.stack(norms).sum() / (height * width)


def _reviewkd(student: Tensor, teacher: Tensor, sizes: Sequence[int] = (4, 2, 1)) -> Tensor:
    """Compute ReviewKD's loss with adaptive pools to 4x4, 2x2 and 1x1.

    The full map has weight 1. Each further pool has half the weight of the previous one.
    """
    difference = student - teacher
    total, weight, weights = difference.square().mean(), 1.0, 1.0
    for size in sizes:
        if size >= difference.shape[-2]:
            continue
        weight /= 2
        total = total + weight * F.adaptive_avg_pool2d(difference, size).square().mean()
        weights += weight
    return total / weights


@MODELS.register_module()
class HCLLoss(nn.Module):
    r"""Hierarchical context loss between two feature maps (one level of Eq. 2).

    The equation with average pooling by the factors k:

    .. math::
        \frac{1}{WH} \sum_k \| avg^k(m) - avg^k(f_{gt}) \|_2

    The paper's text calls the loss a "mean-square-error in multi-scale space", and the default
    follows the text. The value of the printed equation grows with the batch size, and it weights
    the levels unequally: if all levels have equal errors per element, the coarsest level of
    TResNet-L (1216 channels) counts 16 times as much as the finest level (76 channels).

    Args:
        factors: Pooling factors k. A factor larger than the map is skipped.
        reading: ``'mse'`` (default): sum over k of the mean squared error over all elements.
            ``'literal'``: Euclidean norm of each image's map, divided by ``W H``, averaged over the
            batch. ``'reviewkd'``: the loss of the paper's reference [30] with adaptive pools to
            4x4, 2x2 and 1x1. Their weights are 1/2, 1/4 and 1/8; the full map has weight 1. The sum
            is divided by the sum of the weights.

    Raises:
        UserError: ``reading`` is unknown.

    Examples:
        >>> import torch
        >>> from mmspd.models.losses import HCLLoss
        >>> student, teacher = torch.ones(1, 4, 8, 8), torch.zeros(1, 4, 8, 8)
        >>> HCLLoss(factors=(1, 2, 4))(student, teacher)  # 1 for each factor
        tensor(3.)
        >>> HCLLoss(reading='literal')(student, teacher)  # (16 + 8 + 4) / 64
        tensor(0.4375)
    """

    def __init__(self, factors: Sequence[int] = (1, 2, 4), reading: str = 'mse') -> None:
        super().__init__()
        if reading not in ('mse', 'literal', 'reviewkd'):
            raise UserError(
                f"HCLLoss reading={reading!r} is unknown; use 'mse', 'literal' or 'reviewkd'."
            )
        self.factors = tuple(factors)
        self.reading = reading

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare the features of a level.

        Args:
            student: Features of the student, ``(N, C, H, W)``.
            teacher: Features of the teacher, ``(N, C, H, W)``.

        Returns:
            A scalar.

        Raises:
            UserError: The shapes differ.
        """
        if student.shape != teacher.shape:
            raise UserError(
                f'The prior has the shape {tuple(student.shape)}, but the teacher has '
                f'{tuple(teacher.shape)}; set prior.extractor.strides to the strides of the '
                "teacher's features, relative to the image before the enlargement by teacher.scale."
            )
        # Use float32, because 16-bit squares would lose the small differences late in training.
        student, teacher = student.float(), teacher.float()
        if self.reading == 'reviewkd':
            return _reviewkd(student, teacher)
        compare = _mse if self.reading == 'mse' else _literal
        return compare(student, teacher, self.factors)


def _reduce(prior: Tensor, like: Tensor) -> Tensor:
    """Average-pool a level of the prior to the size of the teacher's level, if it is larger."""
    factor = math.ceil(prior.shape[-1] / like.shape[-1])
    if factor == 1:
        return prior
    # ceil_mode: a teacher rounds the size up if its stride does not divide the side of the image
    return F.avg_pool2d(prior, factor, ceil_mode=True, count_include_pad=False)


PLAIN_HCL = dict(type='mmspd.HCLLoss')


@MODELS.register_module()
class PriorDistillationLoss(nn.Module):
    r"""Distills the teacher's features into the prior (Eq. 4; without CLC, Eq. 2).

    .. math::
        L_{prior} = \frac{1}{L} \sum_i HCL(head_i(f_{pri}^i), norm_i(f_{gt}^i))

    ``head_i`` is a 1x1 convolution to the channels of the teacher. Only this loss uses ``head_i``;
    the restorer gets f_pri without it. ``norm_i`` is not in the paper, see ``normalize``. If the
    stride of f_gt^i is a multiple of the stride of f_pri^i, f_pri^i is average-pooled to the size
    of f_gt^i first.

    Args:
        prior_channels: Channels of the levels of the prior. Do not write ``prior_channels`` and
            ``teacher_channels`` in a config, because the deblurrer sets them.
        teacher_channels: Channels of the levels of the teacher.
        normalize: Normalize every channel of the teacher's features to mean 0 and variance 1
            (:class:`~mmspd.models.losses.feature_norm.FeatureNorm`). Each level and channel then
            has the same weight, regardless of its scale. ``False`` compares the features directly,
            as printed in Eq. 4. The prior then takes the scale of the teacher's features, and the
            modulation of the decoder becomes too large; see ``projects/prior_study/RESULTS.md``.
        hcl: Config of the loss of one level.
        loss_weight: Beta of Eq. 7.

    Raises:
        UserError: The prior and the teacher have different numbers of levels.

    Examples:
        >>> import torch
        >>> from mmspd.models.losses import PriorDistillationLoss
        >>> loss = PriorDistillationLoss([16, 16], [64, 128], normalize=True)
        >>> prior = [torch.rand(2, 16, 16, 16), torch.rand(2, 16, 8, 8)]
        >>> features = [torch.rand(2, 64, 16, 16), torch.rand(2, 128, 8, 8)]
        >>> loss(prior, features).shape
        torch.Size([])
        >>> [tuple(level.shape) for level in loss.project(prior, features)]
        [(2, 64, 16, 16), (2, 128, 8, 8)]
    """

    def __init__(
        self,
        prior_channels: Sequence[int],
        teacher_channels: Sequence[int],
        *,
        normalize: bool,
        hcl: Dict[str, Any] = PLAIN_HCL,
        loss_weight: float = 0.1,
    ) -> None:
        super().__init__()
        if len(prior_channels) != len(teacher_channels):
            raise UserError(
                f'The prior has {len(prior_channels)} levels, but teacher.channels has '
                f'{len(teacher_channels)}; use a teacher with {len(prior_channels)} levels, or '
                'change prior.extractor.'
            )
        self.loss_weight = loss_weight
        self.hcl = build_model(hcl)
        self.heads = nn.ModuleList(
            nn.Conv2d(own, wide, 1) for own, wide in zip(prior_channels, teacher_channels)
        )
        self.norms: Optional[nn.ModuleList] = None
        if normalize:
            self.norms = nn.ModuleList(FeatureNorm(wide) for wide in teacher_channels)

    def forward(self, prior: Sequence[Tensor], features: Sequence[Tensor]) -> Tensor:
        """Compare the prior with the teacher's features.

        Args:
            prior: The levels f_pri^1 ... f_pri^L, each ``(N, C_i, H_i, W_i)``.
            features: The levels f_gt^1 ... f_gt^L, each ``(N, T_i, h_i, w_i)``, of the same sizes
                or smaller by whole factors.

        Returns:
            A scalar, multiplied by ``loss_weight``.

        Raises:
            UserError: The sizes of a level do not fit.
        """
        if self.norms is not None:
            features = [norm(target) for norm, target in zip(self.norms, features)]
        students = self._students(prior, features)
        levels = [self.hcl(own, target) for own, target in zip(students, features)]
        return self.loss_weight * torch.stack(levels).mean()

    def project(self, prior: Sequence[Tensor], features: Sequence[Tensor]) -> List[Tensor]:
        """Project the prior to the space of the teacher's features, for visualization.

        Args:
            prior: The levels f_pri^1 ... f_pri^L, each ``(N, C_i, H_i, W_i)``.
            features: The levels f_gt^1 ... f_gt^L, each ``(N, T_i, H_i, W_i)``. Only their sizes
                are used.

        Returns:
            The projections head_i(f_pri^i), in the shapes of ``features`` and at their scale.
        """
        students = self._students(prior, features)
        if self.norms is None:
            return students
        norms = cast(Sequence[FeatureNorm], self.norms)
        return [norm.undo(student) for norm, student in zip(norms, students)]

    def _students(self, prior: Sequence[Tensor], features: Sequence[Tensor]) -> List[Tensor]:
        """Compute head_i(f_pri^i) at the sizes of the teacher's features."""
        # the pools come first, because the heads then cost less
        reduced = [_reduce(own, target) for own, target in zip(prior, features)]
        return [head(own) for head, own in zip(self.heads, reduced)]
