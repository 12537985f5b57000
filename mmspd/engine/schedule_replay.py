"""Replace values of the optimizer in the checkpoint of a resumed run by those of its config."""

import warnings
from itertools import repeat
from typing import Any, Callable, Dict, Iterator, List, Tuple

from mmengine.optim import OptimWrapperDict

from mmspd.engine.fused_optimizer import IMPLEMENTATION

__all__ = ['can_replay', 'group_sizes', 'keep_implementation', 'replay_schedule']

# Values of a parameter group that the config determines, and that are not a state of the optimizer.
_VALUES = ('lr', 'weight_decay', 'betas', 'eps', 'momentum')


def can_replay(runner: Any, epoch: int, iteration: int) -> bool:
    """Return whether the values of the schedule are functions of the step.

    They are not if the schedule follows the validation results. If an optimizer has schedulers of
    both kinds, by epoch and by iteration, the order of the steps must be known. Then all epochs
    need the same length.

    Args:
        runner: MMEngine's runner with built schedulers.
        epoch: Number of finished epochs.
        iteration: Number of finished iterations.

    Returns:
        Whether :func:`replay_schedule` is exact.
    """
    even = iteration == epoch * len(runner.train_dataloader)
    return all(
        (even or len({scheduler.by_epoch for scheduler in schedulers}) <= 1)
        and not any(getattr(scheduler, 'need_val_args', False) for scheduler in schedulers)
        for schedulers in _by_optimizer(runner)
    )


def replay_schedule(runner: Any, checkpoint: Dict[str, Any], epoch: int, iteration: int) -> None:
    """Continue the schedule and the optimizer's arguments as if the run began with this config.

    The new schedulers make all steps from the first one. Their values replace the values in the
    checkpoint, so that the runner loads the new values. The averages of the optimizer remain.

    Args:
        runner: MMEngine's runner with the built and unused optimizer and schedulers.
        checkpoint: The loaded checkpoint, changed in place.
        epoch: Number of finished epochs.
        iteration: Number of finished iterations.
    """
    for schedulers in _by_optimizer(runner):
        _make_steps(schedulers, epoch, iteration)
    checkpoint.pop('param_schedulers', None)  # the runner keeps its own schedulers
    _replace(runner, checkpoint, lambda key: key in _VALUES or key.startswith('initial_'))


def keep_implementation(runner: Any, checkpoint: Dict[str, Any]) -> None:
    """Let a resumed run keep the implementation of its optimizer, such as fused.

    PyTorch would take the implementation in the checkpoint, also from another device.

    Args:
        runner: MMEngine's runner with the built and unused optimizer.
        checkpoint: The loaded checkpoint, changed in place.
    """
    _replace(runner, checkpoint, lambda key: key in IMPLEMENTATION)


def _replace(runner: Any, checkpoint: Dict[str, Any], is_own: Callable[[str], bool]) -> None:
    """Replace values of the parameter groups in a checkpoint by those of the run."""
    for wrapper, state in _wrappers_with_state(runner, checkpoint):
        groups = [*state['param_groups'], *filter(None, [state.get('base_param_settings')])]
        for stored, fresh in zip(groups, wrapper.param_groups):
            stored.update({key: value for key, value in fresh.items() if is_own(key)})


def group_sizes(runner: Any, checkpoint: Dict[str, Any]) -> Iterator[Tuple[List[int], List[int]]]:
    """Count the parameters of the optimizer's groups.

    Args:
        runner: MMEngine's runner with a built optimizer.
        checkpoint: The loaded checkpoint.

    Yields:
        For each optimizer, the sizes of its groups in the checkpoint and in the runner.
    """
    for wrapper, state in _wrappers_with_state(runner, checkpoint):
        yield (
            [len(group['params']) for group in state['param_groups']],
            [len(group['params']) for group in wrapper.optimizer.param_groups],
        )


def _by_optimizer(runner: Any) -> List[List[Any]]:
    """Return the schedulers of each optimizer."""
    schedulers = runner.param_schedulers or []
    return [*schedulers.values()] if isinstance(schedulers, dict) else [schedulers]


def _wrappers_with_state(
    runner: Any, checkpoint: Dict[str, Any]
) -> Iterator[Tuple[Any, Dict[str, Any]]]:
    state, wrapper = checkpoint.get('optimizer'), runner.optim_wrapper
    if state is None:
        return
    if isinstance(wrapper, OptimWrapperDict):
        yield from ((part, state[name]) for name, part in wrapper.items() if name in state)
    else:
        yield wrapper, state


def _make_steps(schedulers: List[Any], epoch: int, iteration: int) -> None:
    """Call ``step`` in the order of a training run."""
    with warnings.catch_warnings():
        # MMEngine warns of schedulers that make steps without the optimizer
        warnings.simplefilter('ignore', UserWarning)
        for by_epoch in _steps(epoch, iteration):
            for scheduler in schedulers:
                if scheduler.by_epoch == by_epoch:
                    scheduler.step()


def _steps(epoch: int, iteration: int) -> Iterator[bool]:
    """Yield False for the end of an iteration and True for the end of an epoch."""
    length, rest = divmod(iteration, epoch) if epoch else (0, iteration)
    for _ in range(epoch):
        yield from repeat(False, length)
        yield True
    yield from repeat(False, rest)
