"""The runner of a config."""

from typing import Any

from mmengine.config import Config
from mmengine.registry import RUNNERS
from torch import distributed

from mmspd.errors import UserError
from mmspd.utils.device import has_accelerator

__all__ = ['build_runner', 'leave_distributed']


def build_runner(config: Config) -> Any:
    """Build the config's runner: MMEngine's, or the registered one of ``runner_type``.

    Args:
        config: Its ``launcher`` is ``none``, ``pytorch``, ``slurm`` or ``mpi``.

    Raises:
        UserError: The launcher needs an accelerator and there is none, or ``sync_bn`` would
            replace more than a normalization.
    """
    if config.get('launcher', 'none') != 'none' and not has_accelerator():
        _init_cpu_distributed(config)
    runner = RUNNERS.build(config)
    if config.get('sync_bn'):
        _check_sync_bn(runner.model)
    return runner


def leave_distributed() -> None:
    """End the process group of this run, if it is one of several processes.

    NCCL warns of leaks in a process that ends without it, and MMEngine never calls it.
    """
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _init_cpu_distributed(config: Config) -> None:
    """Let several processes work without an accelerator (backend gloo).

    Upstream fault: MMEngine 0.10.7 calls ``torch.cuda.set_device`` for every backend and gives its
    data-parallel wrapper ``device_ids``, so it cannot run distributed on CPUs.
    """
    if config.launcher != 'pytorch':
        raise UserError(
            f'--launcher {config.launcher} needs an accelerator and this machine has none: '
            'use tools/dist_train.sh or tools/dist_test.sh, which start on CPUs too'
        )
    if not distributed.is_initialized():
        distributed.init_process_group('gloo')
    config.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,  # as the Runner itself sets where it makes the wrapper
        **(config.get('model_wrapper_cfg') or {}),
        'device_ids': None,
    }


def _check_sync_bn(model: Any) -> None:
    """Refuse a model in which MMEngine's ``sync_bn`` has replaced more than a normalization."""
    for name, part in model.named_modules():
        # timm's BatchNormAct2d holds the activation that follows it; nothing would call it any more
        # torch's and mmcv's have the same name
        if type(part).__name__ == 'SyncBatchNorm' and next(part.children(), None) is not None:
            raise UserError(
                f'sync_bn would lose the activation in {name}: remove sync_bn, or take a backbone '
                'whose normalization and activation are layers of their own'
            )
