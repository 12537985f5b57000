"""A cosine schedule over iterations, for training whose epochs are not equally long."""

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
    """Constant, then cosine, over the iterations of a recipe that states its stages in iterations.

    The stages of :class:`~mmspd.datasets.ProgressiveCrop` begin at epochs, so that they hold for
    any number of GPUs; so must the rate. Within a stage the iterations of the recipe pass evenly
    over its epochs.

    Args:
        optimizer: optimizer, or wrapper of one; given by the runner.
        milestones: epochs, counted from 0, at which the stages after the first begin.
        max_epochs: epochs of the whole training.
        stage_iters: iterations of each stage in the recipe.
        constant_iters: iterations for which the rate is constant at first.
        eta_min: rate at the end.
        **kwargs: MMEngine's ``begin``, ``end``, ``last_step`` and ``verbose``.

    Raises:
        UserError: the stages' numbers do not match.
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
                f'ProgressiveCosineLR needs one more entry in stage_iters than in milestones, but '
                f'got {len(stage_iters)} and {len(milestones)}.'
            )
        self.epochs = [0, *milestones, max_epochs]
        self.iters = [0, *np.cumsum(stage_iters).tolist()]
        self.constant_iters = constant_iters
        self.eta_min = eta_min
        super().__init__(optimizer, by_epoch=True, **kwargs)

    def factor(self, epoch: int) -> float:
        """Share of the way from ``eta_min`` to the initial rate, 1 at first and 0 at the end."""
        done = float(np.interp(epoch, self.epochs, self.iters)) - self.constant_iters
        total = self.iters[-1] - self.constant_iters
        return 1.0 if done <= 0 else 0.5 * (1 + math.cos(math.pi * done / total))

    def _get_value(self) -> List[float]:
        factor = self.factor(self.last_step)
        return [self.eta_min + (base - self.eta_min) * factor for base in self.base_values]
