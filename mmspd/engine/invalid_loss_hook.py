"""End a run whose loss is no longer a number, before it can get into a checkpoint."""

import math
from typing import Any, Dict, List

import torch
from mmengine.hooks import Hook

from mmspd.engine.runtime_info_hook import Fetched, RuntimeInfoHook
from mmspd.errors import UserError
from mmspd.registry import HOOKS

__all__ = ['InvalidLossHook']

_CURE = (
    'lower optim_wrapper.optimizer.lr, clip gradients (optim_wrapper.clip_grad), or train in '
    'bfloat16 instead of float16 (optim_wrapper.dtype)'
)


@HOOKS.register_module()
class InvalidLossHook(Hook):
    """Stop at the first loss that is not finite, and never save weights that are not.

    It reads the values that :class:`~mmspd.engine.runtime_info_hook.RuntimeInfoHook` fetches for
    the log, so it adds no synchronization with the accelerator, notices up to an interval of the
    log late, and always before anything is saved. Gradients that overflow in float16 while the
    loss is finite are the business of the loss scaler and do not stop the run.

    Raises:
        UserError: Names the iteration, the parts of the loss, the last good checkpoint and what
            to change.
    """

    def before_train(self, runner: Any) -> None:
        """Make sure that there is a hook which fetches the losses."""
        if not any(isinstance(hook, RuntimeInfoHook) for hook in runner.hooks):
            raise UserError(
                'mmspd.InvalidLossHook reads what another hook fetches: set '
                "default_hooks.runtime_info=dict(type='mmspd.RuntimeInfoHook')"
            )

    def after_fetch(self, runner: Any, fetched: List[Fetched]) -> None:
        """Look at the loss parts of the iterations since the last look."""
        for iteration, values in fetched:
            invalid = [
                f'{key} is {value}'
                for key, value in values.items()
                if 'loss' in key and not math.isfinite(value)
            ]
            if invalid:
                # the total is only worth naming where no part explains it
                parts = [text for text in invalid if not text.startswith('loss is')] or invalid
                raise UserError(self._message(runner, iteration, ' and '.join(parts)))

    def before_save_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        """Refuse to save weights that the last optimizer step has made invalid."""
        invalid = [
            key
            for key, value in checkpoint['state_dict'].items()
            if value.is_floating_point() and not torch.isfinite(value).all()
        ]
        if invalid:
            text = f'the weights {invalid[0]} ({len(invalid)} tensors in all) are not finite'
            raise UserError(self._message(runner, runner.iter + 1, text))

    @staticmethod
    def _message(runner: Any, iteration: int, fault: str) -> str:
        saved = runner.message_hub.runtime_info.get('last_saved_ckpt')
        last = f'the last good checkpoint is {saved}' if saved else 'no checkpoint was saved yet'
        return f'training stopped at iteration {iteration}: {fault}; {last}; {_CURE}'
