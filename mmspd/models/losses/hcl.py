"""HCL: the hierarchical context loss, and the distillation of the prior with it (Eq. 2 and 4)."""

from typing import Any, Dict, List, Optional, Sequence, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.losses.feature_norm import FeatureNorm
from mmspd.registry import MODELS, build_model

__all__ = ['HCLLoss', 'PriorDistillationLoss']


def _pools(difference: Tensor, factors: Sequence[int]) -> List[Tensor]:
    """Average pools of a map; one that changes nothing is not made, for it would be kept too."""
    side = min(difference.shape[-2:])
    fitting = [factor for factor in factors if factor <= side]
    return [difference if k == 1 else F.avg_pool2d(difference, k) for k in fitting]


def _mse(student: Tensor, teacher: Tensor, factors: Sequence[int]) -> Tensor:
    """Sum over the pooling factors of the mean squared error."""
    difference = student - teacher  # pooling is linear: one map to pool instead of two
    return torch.stack([level.square().mean() for level in _pools(difference, factors)]).sum()


def _literal(student: Tensor, teacher: Tensor, factors: Sequence[int]) -> Tensor:
    """Eq. 2 as printed: sum of Euclidean norms per image, over W H of the level."""
    difference = student - teacher
    height, width = difference.shape[-2:]
    pooled = _pools(difference, factors)
    norms = [torch.linalg.vector_norm(level, dim=(1, 2, 3)).mean() for level in pooled]
    return torch.stack(norms).sum() / (height * width)


def _reviewkd(student: Tensor, teacher: Tensor, sizes: Sequence[int] = (4, 2, 1)) -> Tensor:
    """The loss of ReviewKD: adaptive pools to 4x4, 2x2, 1x1 with halving weights, normalized."""
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
    r"""Hierarchical context loss between two feature maps.

    Eq. 2 of the paper for one level, with average pooling by the factors k:

    .. math::
        \frac{1}{WH} \sum_k \| avg^k(m) - avg^k(f_{gt}) \|_2

    The text calls it a "mean-square-error in multi-scale space". Read as printed it grows with
    batch size and lets the level of most channels dominate 16 to 1, so the default is the text's.

    Args:
        factors: pooling factors k. A factor larger than the map is left out.
        reading: ``'mse'``, sum over k of the mean squared error over all elements (default);
            ``'literal'``, the norm of each image's map over ``W H``, averaged over the batch;
            ``'reviewkd'``, the loss of the paper's reference [30]: adaptive pools to 4x4, 2x2 and
            1x1, weighted 1/2, 1/4, 1/8 beside the full map, divided by the sum of the weights.
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
        """Compare a level.

        Args:
            student: ``(N, C, H, W)``.
            teacher: ``(N, C, H, W)``.

        Returns:
            Scalar.

        Raises:
            UserError: the shapes differ.
        """
        if student.shape != teacher.shape:
            raise UserError(
                f'The prior is {tuple(student.shape)} where the teacher is {tuple(teacher.shape)}; '
                'make the strides of prior.extractor equal those of the teacher (its scale counts).'
            )
        # the squares of bfloat16 or half features lose the small differences late in training
        student, teacher = student.float(), teacher.float()
        if self.reading == 'reviewkd':
            return _reviewkd(student, teacher)
        compare = _mse if self.reading == 'mse' else _literal
        return compare(student, teacher, self.factors)


PLAIN_HCL = dict(type='mmspd.HCLLoss')


@MODELS.register_module()
class PriorDistillationLoss(nn.Module):
    r"""Distillation of the prior toward the teacher's features (Eq. 4; without CLC, Eq. 2).

    .. math::
        L_{prior} = \frac{1}{L} \sum_i HCL(head_i(f_{pri}^i), norm_i(f_{gt}^i))

    ``head_i`` is a 1x1 convolution to the teacher's channels. It exists for this loss alone: the
    restorer is guided by the feature before it. ``norm_i`` is not in the paper, see ``normalize``.

    Args:
        prior_channels: channels of the prior's levels; from the prior branch, not stated.
        teacher_channels: channels of the teacher's levels; from the teacher's config, not stated.
        normalize: bring every channel of the teacher's features to mean 0 and variance 1 first
            (:class:`~mmspd.models.losses.feature_norm.FeatureNorm`), so that neither a level nor a
            channel counts more than another because its numbers are larger. ``False`` compares the
            features as they are, as Eq. 4 is printed: a prior that takes over their scale drives
            the modulation of the decoder out of its range, see ``projects/prior_study/RESULTS.md``.
        hcl: config of the loss of one level.
        loss_weight: beta of Eq. 7.

    Raises:
        UserError: prior and teacher differ in the number of levels.
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
                f'The prior has {len(prior_channels)} levels but teacher.channels states '
                f'{len(teacher_channels)}; make the numbers equal.'
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
            features: The levels f_gt^1 ... f_gt^L, each ``(N, T_i, H_i, W_i)``.

        Returns:
            Scalar, times ``loss_weight``.
        """
        if self.norms is not None:
            features = [norm(target) for norm, target in zip(self.norms, features)]
        students = [head(own) for head, own in zip(self.heads, prior)]
        levels = [self.hcl(own, target) for own, target in zip(students, features)]
        return self.loss_weight * torch.stack(levels).mean()

    def project(self, prior: Sequence[Tensor]) -> List[Tensor]:
        """Turn the prior into what it holds of the teacher's features.

        Args:
            prior: The levels f_pri^1 ... f_pri^L, each ``(N, C_i, H_i, W_i)``.

        Returns:
            head_i(f_pri^i), each ``(N, T_i, H_i, W_i)``, in the scale of the teacher's features.
        """
        students = [head(own) for head, own in zip(self.heads, prior)]
        if self.norms is None:
            return students
        norms = cast(Sequence[FeatureNorm], self.norms)
        return [norm.undo(student) for norm, student in zip(norms, students)]
