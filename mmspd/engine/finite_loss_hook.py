"""End a run whose loss is no longer a number, before it can spoil a checkpoint."""

import math
from typing import Any, Dict, List, Optional

import torch
from mmengine.hooks import Hook

from mmspd.errors import UserError
from mmspd.registry import HOOKS

__all__ = ['FiniteLossHook']

_CURE = (
    'lower optim_wrapper.optimizer.lr, clip gradients (optim_wrapper.clip_grad), or train in '
    'bfloat16 instead of float16 (optim_wrapper.dtype)'
)


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop at the first loss that is not finite, and never save weights that are not.

    It reads the values that MMEngine has already fetched for its log, so it adds no
    synchronisation with the accelerator. Gradients that overflow in float16 while the loss is
    finite are the business of the loss scaler and do not stop the run.

    Raises:
        UserError: Names the iteration, the parts of the loss, the last good checkpoint and what
            to change.
    """

    # after RuntimeInfoHook (VERY_HIGH) has put the losses into the message hub, before the rest
    priority = 'HIGH'

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Optional[Any] = None,
        outputs: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Look at the loss parts of this iteration."""
        bad = []
        for key in outputs or {}:
            if 'loss' in key:
                value = runner.message_hub.get_scalar(f'train/{key}').current()
                if not math.isfinite(value):
                    bad.append(f'{key} is {value}')
        if bad:
            # the total is only worth naming where no part explains it
            parts = [text for text in bad if not text.startswith('loss is')] or bad
            raise UserError(self._message(runner, ' and '.join(parts)))

    def before_save_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        """Refuse to save weights that the last optimiser step has spoilt."""
        spoilt: List[str] = [
            key
            for key, value in checkpoint['state_dict'].items()
            if value.is_floating_point() and not bool(torch.isfinite(value).all())
        ]
        if spoilt:
            text = f'the weights {spoilt[0]} ({len(spoilt)} tensors in all) are not finite'
            raise UserError(self._message(runner, text))

    @staticmethod
    def _message(runner: Any, fault: str) -> str:
        saved = runner.message_hub.runtime_info.get('last_saved_ckpt')
        last = f'the last good checkpoint is {saved}' if saved else 'no checkpoint was saved yet'
        return f'training stopped at iteration {runner.iter + 1}: {fault}; {last}; {_CURE}'
