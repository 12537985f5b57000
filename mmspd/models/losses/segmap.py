"""SegmapDistillationLoss: the distillation loss of a segmentation map."""

from typing import List, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.registry import MODELS

__all__ = ['SegmapDistillationLoss']


@MODELS.register_module()
class SegmapDistillationLoss(nn.Module):
    r"""Cross-entropy between the student's and the teacher's segmentation map.

    .. math::
        L_{prior} = -\frac{1}{L} \sum_i mean_{hw} \sum_c f_{gt,c}^i \log f_{pri,c}^i

    Use this loss with ``mmspd.SegmapSPL`` and ``mmspd.SegmapTeacher``. The teacher's map may
    contain probabilities or one-hot classes. The loss always runs in float32, also under autocast.

    Args:
        prior_channels: Channels of the levels of the prior. Do not write ``prior_channels`` and
            ``teacher_channels`` in a config, because the deblurrer sets them.
        teacher_channels: Channels of the levels of the teacher.
        loss_weight: Beta of Eq. 7.

    Raises:
        UserError: The prior and the teacher have different numbers of levels or classes.

    Examples:
        >>> import torch
        >>> from mmspd.models.losses import SegmapDistillationLoss
        >>> loss = SegmapDistillationLoss([2], [2], loss_weight=1.0)
        >>> uniform = torch.full((1, 2, 8, 8), 0.5)
        >>> loss([uniform.log()], [uniform])  # log(2)
        tensor(0.6931)
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
                f'The prior has {tuple(prior_channels)} classes at its levels, but '
                f'teacher.channels has {tuple(teacher_channels)}; set prior.num_classes to the '
                'number of classes of the mmspd.SegmapTeacher.'
            )
        self.loss_weight = loss_weight

    def forward(self, prior: Sequence[Tensor], segmaps: Sequence[Tensor]) -> Tensor:
        """Compare the prior with the teacher's maps.

        Args:
            prior: Log-probabilities f_pri^1 ... f_pri^L, each ``(N, classes, H_i, W_i)``.
            segmaps: Probabilities f_gt^1 ... f_gt^L of the same shapes; their sum over the classes
                is 1.

        Returns:
            A scalar, multiplied by ``loss_weight``.

        Raises:
            UserError: The shapes differ.
        """
        for own, target in zip(prior, segmaps):
            if own.shape != target.shape:
                raise UserError(
                    f'The prior has the shape {tuple(own.shape)}, but the teacher has '
                    f'{tuple(target.shape)}; set prior.extractor.strides to teacher.strides.'
                )
        # The mean over many pixels needs more precision than 16 bits.
        levels = [
            F.cross_entropy(own.float(), target.float()) for own, target in zip(prior, segmaps)
        ]
        return self.loss_weight * torch.stack(levels).mean()

    def project(self, prior: Sequence[Tensor], segmaps: Sequence[Tensor]) -> List[Tensor]:
        """Convert the log-probabilities to probabilities, for a comparison with the teacher's maps.

        Args:
            prior: Log-probabilities, each ``(N, classes, H_i, W_i)``.
            segmaps: Not used; present because the other losses have this argument.

        Returns:
            Probabilities of the same shapes.
        """
        return [level.exp() for level in prior]
