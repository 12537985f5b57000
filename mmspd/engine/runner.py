"""The runner of a config."""

from typing import Any

from mmengine.config import Config
from mmengine.registry import RUNNERS

from mmspd.errors import UserError

__all__ = ['build_runner']


def build_runner(config: Config) -> Any:
    """Build the config's runner: MMEngine's, or the registered one of ``runner_type``."""
    runner = RUNNERS.build(config)
    if config.get('sync_bn'):
        _check_sync_bn(runner.model)
    return runner


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
