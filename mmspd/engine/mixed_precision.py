"""Mixed precision as a switch of the command line."""

import torch
from mmengine.config import Config

from mmspd.errors import UserError
from mmspd.utils.device import has_accelerator

__all__ = ['use_mixed_precision']


def use_mixed_precision(config: Config) -> str:
    """Make the optimizer wrapper of a config a mixed-precision one, in place.

    The type is bfloat16, which needs no loss scaling, on the CPU and on accelerators that compute
    in it, else float16 with dynamic loss scaling. A ``dtype`` that the config states is kept.

    Returns:
        The name of the type.

    Raises:
        UserError: If float16 is asked for without an accelerator, or the config has another
            optimizer wrapper.
    """
    wrapper = config.optim_wrapper
    scope, _, name = wrapper.get('type', 'OptimWrapper').rpartition('.')
    plain = name == 'OptimWrapper' and scope in ('', 'mmengine', 'mmspd')
    if not plain and (name != 'AmpOptimWrapper' or scope not in ('', 'mmengine')):
        raise UserError(
            f"--amp replaces optim_wrapper.type='mmspd.OptimWrapper', but the config has "
            f'{wrapper.type!r}: leave --amp out and set the precision there'
        )
    if wrapper.get('dtype') is None:
        wrapper.dtype = 'bfloat16' if _computes_in_bfloat16() else 'float16'
    if wrapper.dtype == 'bfloat16':
        wrapper.type = 'mmspd.OptimWrapper'
        wrapper.pop('loss_scale', None)
    elif not has_accelerator():
        raise UserError(
            f'optim_wrapper.dtype={wrapper.dtype!r} needs an accelerator and this machine has '
            "none: use 'bfloat16'"
        )
    else:
        wrapper.type = 'mmengine.AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')
    return wrapper.dtype


def _computes_in_bfloat16() -> bool:
    # torch.cuda.is_bf16_supported() also says yes where bfloat16 is only emulated
    if torch.cuda.is_available():
        return torch.cuda.get_device_capability()[0] >= 8
    return not has_accelerator()
