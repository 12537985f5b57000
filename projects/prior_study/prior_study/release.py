"""Distillation that ends during training: the weight of the prior loss falls to zero."""

from typing import Any, Optional

from mmengine.hooks import Hook

from mmspd.registry import HOOKS

__all__ = ['ReleaseHook']


@HOOKS.register_module()
class ReleaseHook(Hook):
    """Lowers the weight of the prior loss linearly to zero.

    Args:
        end: Share of the training, in (0, 1], after which the weight is zero.
    """

    def __init__(self, end: float) -> None:
        self.end = end
        self._first: Optional[float] = None

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Optional[Any] = None
    ) -> None:
        """Set the weight of this step, which depends only on the number of the step."""
        loss = runner.model.prior_loss
        if self._first is None:
            self._first = loss.loss_weight
        left = 1 - runner.iter / (self.end * runner.max_iters)
        loss.loss_weight = self._first * max(0.0, left)
