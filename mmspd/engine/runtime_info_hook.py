"""Fetch losses and other values of the training log from the device once per log line."""

from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch
from mmengine.hooks import LoggerHook
from mmengine.hooks import RuntimeInfoHook as _RuntimeInfoHook
from mmengine.logging import HistoryBuffer
from torch import Tensor

from mmspd.engine.optim_wrapper import take_unread
from mmspd.errors import UserError
from mmspd.registry import HOOKS

__all__ = ['RuntimeInfoHook']

#: Number of values that the log keeps for each name. If an epoch has more iterations than this, the
#: log keeps one value per iteration of an epoch.
MAX_HISTORY = 10000
#: The number of an iteration, counted from 1, and a dict from names to values of this iteration.
Fetched = Tuple[int, Dict[str, float]]
#: Names of the parts of a history in a checkpoint.
_PARTS = ('log_history', 'count_history', 'max_length')


@HOOKS.register_module()
class RuntimeInfoHook(_RuntimeInfoHook):
    """MMEngine's ``RuntimeInfoHook``, but it does not wait for the device in every iteration.

    MMEngine reads every loss in every iteration, and each read waits until the device is idle. This
    hook keeps the values on the device until the log needs them. One copy fetches them at the
    interval of ``LoggerHook``, at the end of an epoch, before a validation and before a checkpoint
    is saved. Then ``after_fetch(runner, fetched)`` of all hooks is called, where ``fetched`` is a
    list of (iteration, dict from names to values).

    The hook also limits the histories of the log. MMEngine lets a history grow to a million values,
    copies the history for every new value, and saves the whole history in every checkpoint.
    """

    def __init__(self) -> None:
        self._waiting: List[Tuple[int, Dict[str, Any]]] = []
        self._intervals: List[int] = []

    def before_train(self, runner: Any) -> None:
        """Read the intervals of the log.

        Args:
            runner: MMEngine's runner.
        """
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
        """Store the values of this iteration, and fetch all stored values if a log line is due.

        Args:
            runner: MMEngine's runner.
            batch_idx: Number of the batch in the epoch, counted from 0.
            data_batch: Not used.
            outputs: A dict from names to values, such as losses.
        """
        values = dict(outputs or {})
        values.update(take_unread(runner.optim_wrapper))
        kept = {k: v.detach() if isinstance(v, Tensor) else v for k, v in values.items()}
        self._waiting.append((runner.iter + 1, kept))
        log_is_due = any(self.every_n_inner_iters(batch_idx, n) for n in self._intervals)
        if log_is_due or self.end_of_epoch(runner.train_dataloader, batch_idx):
            self._fetch(runner)

    def before_val(self, runner: Any) -> None:
        """Fetch the stored values, because validation writes a log line.

        Args:
            runner: MMEngine's runner.
        """
        self._fetch(runner)
        super().before_val(runner)

    def before_save_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        """Write the values that are still on the device to the log in the checkpoint.

        The log is saved as plain values, so that the checkpoint needs no classes of MMEngine and
        NumPy.

        Args:
            runner: MMEngine's runner.
            checkpoint: The checkpoint to save, changed in place.
        """
        if self._waiting:
            self._fetch(runner)
            checkpoint['message_hub'] = runner.message_hub.state_dict()
        hub = checkpoint['message_hub']
        hub['log_scalars'] = {key: _as_lists(each) for key, each in hub['log_scalars'].items()}
        hub['runtime_info'] = {key: _as_plain(each) for key, each in hub['runtime_info'].items()}

    def after_load_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        """Make MMEngine's histories from the lists in the checkpoint.

        Args:
            runner: MMEngine's runner.
            checkpoint: The loaded checkpoint, changed in place.

        Raises:
            UserError: The run is resumed, but a history is not valid.
        """
        hub = checkpoint.get('message_hub')
        if not runner._resume or not isinstance(hub, dict):
            return
        histories = hub.get('log_scalars')
        if isinstance(histories, dict):
            hub['log_scalars'] = {
                # MMEngine's hook saves objects of the class
                key: history
                if isinstance(history, HistoryBuffer)
                else _as_history(history, f'{runner._load_from}: the log {key}')
                for key, history in histories.items()
            }

    def after_train(self, runner: Any) -> None:
        """Fetch the remaining values of a training run that was stopped early.

        Args:
            runner: MMEngine's runner.
        """
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


def _as_lists(history: HistoryBuffer) -> Dict[str, Any]:
    """Return the arguments of ``HistoryBuffer`` for an equal history."""
    values, counts = (part.tolist() for part in history.data)
    return dict(zip(_PARTS, (values, counts, history.max_length)))


def _as_history(lists: Any, name: str) -> HistoryBuffer:
    """Return the history of :func:`_as_lists`."""
    try:
        values, counts, limit = (lists[key] for key in _PARTS)
        numbers = isinstance(values, list) and isinstance(counts, list) and [*values, *counts]
        if not isinstance(numbers, list) or {*map(type, numbers)} - {int, float} or limit < 1:
            raise TypeError
        return HistoryBuffer(values, counts, limit)
    except (TypeError, KeyError, AssertionError) as error:
        raise UserError(f'{name} is not a list of numbers; use another checkpoint.') from error


def _as_plain(value: Any) -> Any:
    """Return the numbers of NumPy as plain values."""
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value
