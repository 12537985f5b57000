"""Stop a run whose loss is not finite, before the run saves invalid weights."""

import math
from typing import Any, Dict, List

import torch
from mmengine.hooks import Hook

from mmspd.engine.runtime_info_hook import Fetched, RuntimeInfoHook
from mmspd.errors import UserError
from mmspd.registry import HOOKS

__all__ = ['InvalidLossHook']

_FIX = (
    'lower optim_wrapper.optimizer.lr, clip gradients (optim_wrapper.clip_grad), or train in '
    'bfloat16 instead of float16 (optim_wrapper.dtype)'
)


@HOOKS.register_module()
class InvalidLossHook(Hook):
    """Stops training if a loss or a weight is not finite, so invalid weights are never saved.

    The hook reads the values that :class:`~mmspd.engine.runtime_info_hook.RuntimeInfoHook` fetches
    for the log, so it adds no synchronization with the accelerator. The run may stop up to one log
    interval late, but always before a checkpoint is saved. If gradients overflow in float16 while
    the loss is finite, the run continues; the loss scaler handles this case.

    Raises:
        UserError: A loss or a weight is not finite. The message names the iteration, the parts of
            the loss, the last good checkpoint and possible changes.
    """

    def before_train(self, runner: Any) -> None:
        """Check that a hook fetches the losses.

        Args:
            runner: MMEngine's runner.

        Raises:
            UserError: There is no ``mmspd.RuntimeInfoHook``.
        """
        if not any(isinstance(hook, RuntimeInfoHook) for hook in runner.hooks):
            raise UserError(
                'mmspd.InvalidLossHook needs the losses that mmspd.RuntimeInfoHook fetches; set '
                "default_hooks.runtime_info=dict(type='mmspd.RuntimeInfoHook')."
            )

    def after_fetch(self, runner: Any, fetched: List[Fetched]) -> None:
        """Check the loss parts of all iterations since the last call.

        Args:
            runner: MMEngine's runner.
            fetched: A list of (iteration, dict from names to values).

        Raises:
            UserError: A loss is not finite.
        """
        for iteration, values in fetched:
            invalid = [
                f'{key} is {value}'
                for key, value in values.items()
                if 'loss' in key and not math.isfinite(value)
            ]
            if invalid:
                # name the total loss only if all its parts are finite
                parts = [text for text in invalid if not text.startswith('loss is')] or invalid
                raise UserError(self._message(runner, iteration, ' and '.join(parts)))

    def before_save_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        """Check the weights, which the last optimizer step may have made invalid.

        Args:
            runner: MMEngine's runner.
            checkpoint: The checkpoint to save.

        Raises:
            UserError: A weight is not finite.
        """
        invalid = [
            key
            for key, value in checkpoint['state_dict'].items()
            if value.is_floating_point() and not torch.isfinite(value).all()
        ]
        if invalid:
            text = f'{len(invalid)} weight tensors are not finite, the first is {invalid[0]}'
            raise UserError(self._message(runner, runner.iter + 1, text))

    @staticmethod
    def _message(runner: Any, iteration: int, fault: str) -> str:
        saved = runner.message_hub.runtime_info.get('last_saved_ckpt')
        last = f'the last good checkpoint is {saved}' if saved else 'no checkpoint was saved yet'
        return f'Training stopped at iteration {iteration} because {fault} ({last}); {_FIX}.'
