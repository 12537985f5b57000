"""Switch a config to mixed precision (the option ``--amp``)."""

import torch
from mmengine.config import Config
from mmengine.device import get_device

from mmspd.errors import UserError
from mmspd.utils.device import computes_natively, has_accelerator

__all__ = ['use_mixed_precision']


def use_mixed_precision(config: Config) -> str:
    """Switch the optimizer wrapper of a config to mixed precision, in place.

    On the CPU and on accelerators that compute in bfloat16, the dtype is bfloat16, which needs no
    loss scaling. On other accelerators the dtype is float16, with dynamic loss scaling. If the
    optimizer wrapper has a ``dtype`` in the config, this ``dtype`` is used instead. On a CPU
    without bfloat16 instructions, training is slower than in float32, and its first step logs a
    warning.

    Args:
        config: The config of a training run.

    Returns:
        The name of the dtype.

    Raises:
        UserError: The config sets float16 but there is no accelerator, or the config has another
            type of optimizer wrapper.
    """
    wrapper = config.optim_wrapper
    scope, _, name = wrapper.get('type', 'OptimWrapper').rpartition('.')
    plain = name == 'OptimWrapper' and scope in ('', 'mmengine', 'mmspd')
    if not plain and (name != 'AmpOptimWrapper' or scope not in ('', 'mmengine', 'mmspd')):
        raise UserError(
            f"--amp replaces optim_wrapper.type='mmspd.OptimWrapper', but the config has "
            f'{wrapper.type!r}; remove --amp and set the precision in the config.'
        )
    device = torch.device(get_device() if has_accelerator() else 'cpu')
    if wrapper.get('dtype') is None:
        bfloat16 = device.type == 'cpu' or computes_natively(device, 'bfloat16')
        wrapper.dtype = 'bfloat16' if bfloat16 else 'float16'
    if wrapper.dtype == 'bfloat16':
        wrapper.type = 'mmspd.OptimWrapper'
        wrapper.pop('loss_scale', None)
    elif not has_accelerator():
        raise UserError(
            f'optim_wrapper.dtype={wrapper.dtype!r} needs an accelerator, but this machine has '
            "none; use 'bfloat16'."
        )
    else:
        wrapper.type = 'mmspd.AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')
    return wrapper.dtype
