"""Freeze the backbone of a restorer in the first steps of training."""

from typing import Any, Optional

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict

from mmspd.errors import UserError
from mmspd.registry import HOOKS
from mmspd.utils.model_wrapper import unwrap

__all__ = ['FreezeBackboneHook']


@HOOKS.register_module()
class FreezeBackboneHook(Hook):
    """Trains only the other layers of a restorer first, as DeblurGAN-v2 does.

    When the backbone starts to learn, the averages of the generator's optimizer start anew, as in
    the official code, which builds a new optimizer.

    Args:
        iterations: Number of iterations in which the backbone is frozen.

    Raises:
        UserError: The model has no restorer with a backbone.
    """

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations

    def before_train(self, runner: Any) -> None:
        """Freeze the backbone, unless a resumed run has passed the frozen iterations.

        Args:
            runner: MMEngine's runner.

        Raises:
            UserError: The model has no restorer with a backbone.
        """
        self._restorers = [
            part for part in unwrap(runner.model).modules() if hasattr(part, 'freeze_backbone')
        ]
        if not self._restorers:
            raise UserError(
                'mmspd.FreezeBackboneHook found no restorer with a backbone, such as '
                'mmspd.DeblurGANv2; remove this hook from the config.'
            )
        self._freeze(runner.iter < self.iterations)

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Optional[Any] = None
    ) -> None:
        """Let the backbone learn after the frozen iterations.

        Args:
            runner: MMEngine's runner.
            batch_idx: Not used.
            data_batch: Not used.
        """
        if runner.iter == self.iterations:
            self._freeze(False)
            wrapper = runner.optim_wrapper
            if isinstance(wrapper, OptimWrapperDict):
                wrapper = wrapper['generator']
            wrapper.optimizer.state.clear()

    def _freeze(self, frozen: bool) -> None:
        for restorer in self._restorers:
            restorer.freeze_backbone(frozen)
