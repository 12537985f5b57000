"""Losses and other values of the training log, fetched from the device once per log line."""

from typing import Any, Dict, List, Optional, Tuple

import torch
from mmengine.hooks import LoggerHook
from mmengine.hooks import RuntimeInfoHook as _RuntimeInfoHook
from torch import Tensor

from mmspd.registry import HOOKS

__all__ = ['RuntimeInfoHook']

#: How many values of a history to keep, if an epoch has no more.
MAX_HISTORY = 10000
#: Values of one iteration, by name, with its number, the first being 1.
Fetched = Tuple[int, Dict[str, float]]


@HOOKS.register_module()
class RuntimeInfoHook(_RuntimeInfoHook):
    """MMEngine's hook of the same name, but training does not wait for the device to log a value.

    MMEngine reads every loss in every iteration, and each read waits until the device has finished
    what it was given. Here the values stay there until the log needs them: at the interval of
    ``LoggerHook``, at the end of an epoch, before a validation and before a checkpoint is saved,
    they come in one copy. Then the hooks' ``after_fetch(runner, fetched)`` is called, ``fetched``
    being a list of (iteration, values by name).

    It also keeps the log's histories short: MMEngine copies a history, which may grow to a million
    values, whenever it appends to it, and saves all of it in every checkpoint.
    """

    def __init__(self) -> None:
        self._waiting: List[Tuple[int, Dict[str, Any]]] = []
        self._intervals: List[int] = []

    def before_train(self, runner: Any) -> None:
        """Learn when the log is written."""
        super().before_train(runner)
        self._intervals = [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)]
        self._keep = max(MAX_HISTORY, len(runner.train_dataloader))

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Optional[Any] = None,
        outputs: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Put the values of this iteration aside, and fetch what waits if a log line is due."""
        values = dict(outputs or {})
        unread = getattr(runner.optim_wrapper, 'unread', {})
        values.update(unread)
        unread.clear()
        kept = {k: v.detach() if isinstance(v, Tensor) else v for k, v in values.items()}
        self._waiting.append((runner.iter + 1, kept))
        log_is_due = any(self.every_n_inner_iters(batch_idx, n) for n in self._intervals)
        if log_is_due or self.end_of_epoch(runner.train_dataloader, batch_idx):
            self._fetch(runner)

    def before_val(self, runner: Any) -> None:
        """Fetch what waits: validation writes a log line."""
        self._fetch(runner)
        super().before_val(runner)

    def before_save_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        """Fetch what waits, for the log's state in the checkpoint."""
        if self._waiting:
            self._fetch(runner)
            checkpoint['message_hub'] = runner.message_hub.state_dict()

    def after_train(self, runner: Any) -> None:
        """Fetch what is left when training was stopped early."""
        self._fetch(runner)
        super().after_train(runner)

    def _fetch(self, runner: Any) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        device = next(runner.model.parameters()).device
        scalars = [
            value.reshape(()).to(device, torch.float32)
            for _, values in waiting
            for value in values.values()
            if isinstance(value, Tensor)
        ]
        numbers = iter(torch.stack(scalars).tolist() if scalars else [])
        fetched: List[Fetched] = []
        for iteration, values in waiting:
            read = {k: next(numbers) if isinstance(v, Tensor) else v for k, v in values.items()}
            fetched.append((iteration, read))
            for key, value in read.items():
                runner.message_hub.update_scalar(f'train/{key}', value)
        for history in runner.message_hub.log_scalars.values():
            history.max_length = self._keep
        runner.call_hook('after_fetch', fetched=fetched)
