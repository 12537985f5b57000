"""SegmapDistillationLoss: the distillation of a segmentation map."""

from typing import List, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.registry import MODELS

__all__ = ['SegmapDistillationLoss']


@MODELS.register_module()
class SegmapDistillationLoss(nn.Module):
    r"""Cross-entropy of the student's segmentation map against the teacher's.

    .. math::
        L_{prior} = -\frac{1}{L} \sum_i mean_{hw} \sum_c f_{gt,c}^i \log f_{pri,c}^i

    The teacher's map may be hard or soft. It is what ``mmspd.SegmapSPL`` and
    ``mmspd.SegmapTeacher`` are trained with, in float32 whatever the autocast.

    Args:
        prior_channels: channels of the prior's levels; from the prior branch, not stated.
        teacher_channels: channels of the teacher's levels; from the teacher's config, not stated.
        loss_weight: beta of Eq. 7.

    Raises:
        UserError: prior and teacher differ in levels or classes.
    """

    def __init__(
        self,
        prior_channels: Sequence[int],
        teacher_channels: Sequence[int],
        loss_weight: float = 0.1,
    ) -> None:
        super().__init__()
        if tuple(prior_channels) != tuple(teacher_channels):
            raise UserError(
                f'The prior has {tuple(prior_channels)} classes by level but teacher.channels '
                f'states {tuple(teacher_channels)}; make prior.num_classes the number of classes '
                'of a mmspd.SegmapTeacher.'
            )
        self.loss_weight = loss_weight

    def forward(self, prior: Sequence[Tensor], segmaps: Sequence[Tensor]) -> Tensor:
        """Compare the prior with the teacher's maps.

        Args:
            prior: log-probabilities f_pri^1 ... f_pri^L, each ``(N, classes, H_i, W_i)``.
            segmaps: The levels f_gt^1 ... f_gt^L of the same shapes, summing to 1 over the classes.

        Returns:
            Scalar, times ``loss_weight``.

        Raises:
            UserError: the shapes differ.
        """
        for own, target in zip(prior, segmaps):
            if own.shape != target.shape:
                raise UserError(
                    f'The prior is {tuple(own.shape)} where the teacher is '
                    f'{tuple(target.shape)}; make the strides of prior.extractor equal those of '
                    'the teacher.'
                )
        # a mean over many pixels needs more digits than 16 bits have
        levels = [
            F.cross_entropy(own.float(), target.float()) for own, target in zip(prior, segmaps)
        ]
        return self.loss_weight * torch.stack(levels).mean()

    def project(self, prior: Sequence[Tensor]) -> List[Tensor]:
        """Turn the log-probabilities into probabilities, to be compared with the teacher's maps."""
        return [level.exp() for level in prior]
