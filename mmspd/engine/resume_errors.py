"""Refuse a checkpoint whose training state does not fit the run."""

import types
from typing import Any, Dict, Iterator, Optional

import torch
from torch import Tensor

from mmspd.errors import UserError

__all__ = ['check_resumed_state']

# States of PyTorch's optimizers that have the shape of the parameter.
_LIKE_THE_PARAMETER = {
    *('exp_avg', 'exp_avg_sq', 'max_exp_avg_sq', 'exp_inf', 'momentum_buffer', 'square_avg'),
    *('grad_avg', 'acc_delta', 'sum', 'prev', 'step_size'),
}


def check_resumed_state(runner: Any) -> None:
    """Let a runner check the training state that it resumes from a checkpoint.

    MMEngine and PyTorch copy the state of the optimizer and of the schedulers without checks, so a
    wrong state would fail in a later step. The function replaces ``runner.load_or_resume``.

    Args:
        runner: MMEngine's runner.
    """
    runner.load_or_resume = types.MethodType(_load_and_check, runner)


def _load_and_check(runner: Any) -> None:
    before = [dict(vars(scheduler)) for scheduler in _schedulers(runner.param_schedulers)]
    try:
        type(runner).load_or_resume(runner)
    except (UserError, FileNotFoundError, MemoryError, torch.cuda.OutOfMemoryError):
        raise
    except Exception as error:  # MMEngine raises many types of errors for a wrong state
        if not runner._resume:
            raise
        raise _refusal(runner, f'{type(error).__name__}: {error}') from error
    if not (runner._resume and runner._has_loaded):
        return
    fault = next((f for each in _optimizers(runner.optim_wrapper) for f in _faults(each)), None)
    if not all(map(_is_unbroken, _schedulers(runner.param_schedulers), before)):
        fault = 'its learning rate schedule has another structure'
    if any(type(each) is not int or each < 0 for each in (runner.epoch, runner.iter)):
        fault = 'its epoch or iteration is not a number'
    if fault is not None:
        raise _refusal(runner, fault)


def _refusal(runner: Any, reason: str) -> UserError:
    return UserError(
        f'{runner._load_from} cannot be resumed ({" ".join(reason.split())}); use a checkpoint of '
        'this run, or start from its weights with --cfg-options load_from=FILE.'
    )


def _optimizers(wrapper: Any) -> Iterator[Any]:
    """Yield the optimizers of an ``OptimWrapper`` or ``OptimWrapperDict``."""
    for each in getattr(wrapper, 'optim_wrappers', {'': wrapper}).values():
        if hasattr(each, 'optimizer'):
            yield each.optimizer


def _faults(optimizer: Any) -> Iterator[str]:
    """Yield a phrase for each wrong part of the state of an optimizer."""
    for group in optimizer.param_groups:
        for key, default in optimizer.defaults.items():
            if key not in group or not _is_like(group[key], default):
                yield f'the optimizer has a wrong value for {key}'
        for parameter in group['params']:
            state = optimizer.state.get(parameter, {})
            for key in _LIKE_THE_PARAMETER & state.keys():
                value = state[key]
                if not isinstance(value, (Tensor, type(None))):
                    yield f'{key} of the optimizer is a {type(value).__name__}'
                elif value is not None and value.shape != parameter.shape:
                    shapes = f'{tuple(value.shape)}, not {tuple(parameter.shape)}'
                    yield f'{key} of the optimizer is {shapes}'


def _schedulers(schedulers: Any) -> Iterator[Any]:
    """Yield the schedulers of one or several optimizers, if they are built."""
    parts = schedulers.values() if isinstance(schedulers, dict) else [schedulers or []]
    for part in parts:
        yield from part if isinstance(part, list) else []


def _is_unbroken(scheduler: Any, before: Dict[str, Any]) -> bool:
    """Tell whether a scheduler still has its attributes, and its methods are not hidden."""
    after = vars(scheduler)
    return all(_is_like(after[key], before[key]) for key in before) and not any(
        hasattr(type(scheduler), key) for key in after.keys() - before.keys()
    )


def _is_like(value: Any, example: Optional[Any]) -> bool:
    """Tell whether a value has the type of an example; ``None`` fits every example."""
    if value is None or example is None:
        return True
    if isinstance(example, (int, float, Tensor)):
        return isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.numel() == 1)
    if isinstance(example, (list, tuple)):
        return (
            isinstance(value, (list, tuple))
            and len(value) == len(example)
            and all(map(_is_like, value, example))
        )
    return isinstance(value, type(example))
