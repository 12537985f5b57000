"""Mixed precision as a switch of the command line."""

import torch
from mmengine.config import Config
from mmengine.device import (
    is_cuda_available,
    is_mlu_available,
    is_musa_available,
    is_npu_available,
)

from mmspd.errors import UserError

__all__ = ['use_mixed_precision']


def use_mixed_precision(config: Config) -> str:
    """Make the optimiser wrapper of a config a mixed-precision one, in place.

    The type is bfloat16 where the accelerator computes in it, which needs no loss scaling, else
    float16 with dynamic loss scaling. ``dtype`` and ``loss_scale`` that the config states are kept.

    Returns:
        The name of the type.

    Raises:
        UserError: If there is no accelerator, or the config has another optimiser wrapper.
    """
    if not (is_cuda_available() or is_npu_available() or is_mlu_available() or is_musa_available()):
        raise UserError('--amp needs an accelerator and this machine has none: leave it out')
    wrapper = config.optim_wrapper
    scope, _, name = wrapper.get('type', 'OptimWrapper').rpartition('.')
    if name not in ('OptimWrapper', 'AmpOptimWrapper') or scope not in ('', 'mmengine'):
        raise UserError(
            f"--amp replaces optim_wrapper.type='OptimWrapper', but the config has "
            f'{wrapper.type!r}: leave --amp out and set the precision there'
        )
    wrapper.type = 'mmengine.AmpOptimWrapper'
    wrapper.setdefault('dtype', 'bfloat16' if _computes_in_bfloat16() else 'float16')
    # a scaler would read its overflow flag from the device at every step for nothing
    wrapper.setdefault(
        'loss_scale', 'dynamic' if wrapper.dtype == 'float16' else dict(enabled=False)
    )
    return wrapper.dtype


def _computes_in_bfloat16() -> bool:
    # torch.cuda.is_bf16_supported() also says yes where bfloat16 is only emulated
    return is_cuda_available() and torch.cuda.get_device_capability()[0] >= 8
