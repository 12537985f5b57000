"""Build the runner of a config."""

import logging
import os
import sys
from contextlib import contextmanager
from functools import partial
from typing import Any, Iterator

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import distributed

from mmspd.engine.resume_errors import check_resumed_state
from mmspd.errors import UsageError, UserError
from mmspd.utils.device import has_accelerator

__all__ = ['build_runner', 'leave_distributed']


def build_runner(config: Config) -> Any:
    """Build the runner of a config.

    The runner is MMEngine's ``Runner``, or the registered class that ``runner_type`` names. It
    writes the config to the work folder when the training starts. A test or a refused start does
    not replace the config of an earlier run there.

    Args:
        config: The config. Its ``launcher`` is ``none``, ``pytorch``, ``slurm`` or ``mpi``.

    Returns:
        The runner.

    Raises:
        UserError: The launcher needs an accelerator but there is none, or ``sync_bn`` would remove
            the activations of the model's combined norm-activation layers.
    """
    if config.get('launcher', 'none') != 'none' and not has_accelerator():
        _init_cpu_distributed(config)
    with _without_dump():
        runner = RUNNERS.build(config)
    runner.register_hook(_DumpConfigHook(), priority='LOWEST')
    _stop_if_log_fails(runner.logger)
    check_resumed_state(runner)
    if config.get('sync_bn'):
        _check_sync_bn(runner.model)
    return runner


def leave_distributed() -> None:
    """End the process group, if this is a process of a distributed run.

    Without this call, NCCL warns about leaks when the process ends. MMEngine never makes the call.

    On CPUs (backend gloo), this function also ends the process, with exit code 0. The threads of
    gloo outlive the group, because PyTorch's data-parallel wrapper keeps the group alive. If such a
    thread releases a tensor while Python shuts down, the process aborts. Therefore call this
    function last.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    is_gloo = distributed.get_backend() == 'gloo'
    distributed.destroy_process_group()
    if is_gloo:
        logging.shutdown()  # os._exit writes no buffers
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


class _DumpConfigHook(Hook):
    """Writes the config to the work folder, after all other hooks have accepted the run."""

    def before_train(self, runner: Any) -> None:
        runner.dump_config()


@contextmanager
def _without_dump() -> Iterator[None]:
    """Let the constructor of MMEngine's runner write no config to the work folder."""
    original = Runner.dump_config
    Runner.dump_config = lambda self: None
    try:
        yield
    finally:
        Runner.dump_config = original


def _stop_if_log_fails(logger: logging.Logger) -> None:
    """Raise an error if the log file cannot be written; Python would print a traceback per line."""
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handleError = partial(_raise_log_error, handler)  # type: ignore[method-assign]


def _raise_log_error(handler: logging.FileHandler, record: logging.LogRecord) -> None:
    error = sys.exc_info()[1]
    if isinstance(error, OSError):
        raise UserError(
            f"Cannot write the log '{handler.baseFilename}' ({error.strerror}); correct the cause, "
            'and continue with --resume.'
        ) from error
    logging.Handler.handleError(handler, record)


def _init_cpu_distributed(config: Config) -> None:
    """Initialize distributed training on CPUs (backend gloo).

    This works around a bug in MMEngine 0.10.7. MMEngine cannot run distributed on CPUs, because it
    calls ``torch.cuda.set_device`` for every backend and passes ``device_ids`` to its data-parallel
    wrapper.
    """
    if config.launcher != 'pytorch':
        raise UsageError(
            f'--launcher {config.launcher} needs an accelerator, but this machine has none; use '
            'tools/dist_train.sh or tools/dist_test.sh, which also run on CPUs.'
        )
    if not distributed.is_initialized():
        distributed.init_process_group('gloo')
    config.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,  # the default of the Runner
        **(config.get('model_wrapper_cfg') or {}),
        'device_ids': None,
    }


def _check_sync_bn(model: Any) -> None:
    """Raise an error if MMEngine's ``sync_bn`` has removed an activation from the model."""
    for name, part in model.named_modules():
        # sync_bn converts timm's BatchNormAct2d, which contains the activation that follows it. The
        # new SyncBatchNorm (of torch or mmcv) still contains the activation but does not run it.
        if type(part).__name__ == 'SyncBatchNorm' and next(part.children(), None) is not None:
            raise UserError(
                f'sync_bn would remove the activation in {name}; remove sync_bn or choose a '
                'backbone with separate normalization and activation layers.'
            )
