"""A cosine learning rate over iterations, for training whose epochs have different lengths."""

import math
from typing import Any, List, Sequence

import numpy as np
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler

from mmspd.errors import UserError
from mmspd.registry import PARAM_SCHEDULERS

__all__ = ['ProgressiveCosineLR']


@PARAM_SCHEDULERS.register_module()
class ProgressiveCosineLR(LRSchedulerMixin, _ParamScheduler):
    """A constant learning rate followed by a cosine decay.

    The official recipe gives the lengths of both parts in iterations. The stages of
    :class:`~mmspd.datasets.progressive.ProgressiveCrop` begin at given epochs, so that they do not
    depend on the number of GPUs. Therefore this schedule changes the rate only once per epoch. It
    distributes the iterations of each stage evenly over the epochs of the stage.

    Args:
        optimizer: Optimizer or optimizer wrapper. The runner passes it.
        milestones: Epochs at which the stages after the first one begin, counted from 0.
        max_epochs: Number of epochs of the whole training run.
        stage_iters: Number of iterations of each stage in the recipe.
        constant_iters: Number of iterations at the beginning with a constant rate.
        eta_min: Learning rate at the end.
        **kwargs: MMEngine's ``begin``, ``end``, ``last_step`` and ``verbose``.

    Raises:
        UserError: The numbers of stages and milestones do not match.

    Examples:
        >>> import torch
        >>> from mmspd.engine import ProgressiveCosineLR
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> schedule = ProgressiveCosineLR(
        ...     optimizer, milestones=[2], max_epochs=6, stage_iters=[200, 400], constant_iters=200)
        >>> [round(schedule.factor(epoch), 2) for epoch in range(7)]
        [1.0, 1.0, 1.0, 0.85, 0.5, 0.15, 0.0]
    """

    def __init__(
        self,
        optimizer: Any,
        milestones: Sequence[int],
        max_epochs: int,
        stage_iters: Sequence[int],
        constant_iters: int,
        eta_min: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if len(stage_iters) != len(milestones) + 1:
            raise UserError(
                f'ProgressiveCosineLR got {len(stage_iters)} stage_iters and {len(milestones)} '
                'milestones; set one more stage_iters than milestones.'
            )
        self.epochs = [0, *milestones, max_epochs]
        self.iters = [0, *np.cumsum(stage_iters).tolist()]
        self.constant_iters = constant_iters
        self.eta_min = eta_min
        super().__init__(optimizer, by_epoch=True, **kwargs)

    def factor(self, epoch: int) -> float:
        """Compute the factor of the schedule.

        Args:
            epoch: Number of finished epochs.

        Returns:
            A number from 1 (the initial rate, at the beginning) to 0 (``eta_min``, at the end).
        """
        done = float(np.interp(epoch, self.epochs, self.iters)) - self.constant_iters
        total = self.iters[-1] - self.constant_iters
        return 1.0 if done <= 0 else 0.5 * (1 + math.cos(math.pi * done / total))

    def _get_value(self) -> List[float]:
        factor = self.factor(self.last_step)
        return [self.eta_min + (base - self.eta_min) * factor for base in self.base_values]
