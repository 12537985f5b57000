"""Optimizer wrappers for all precisions, which clip the gradients of each part on its own."""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional

from mmengine.optim import AmpOptimWrapper as _AmpOptimWrapper
from mmengine.optim import OptimWrapper as _OptimWrapper
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn
from torch.optim import Optimizer

from mmspd.engine.fused_optimizer import fuse
from mmspd.engine.gradient_clipping import ClipApart
from mmspd.errors import UserError
from mmspd.registry import OPTIM_WRAPPERS
from mmspd.utils.precision import autocast

__all__ = ['AmpOptimWrapper', 'OptimWrapper', 'take_unread']


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(ClipApart, _AmpOptimWrapper):
    """MMEngine's optimizer wrapper for float16, which clips the gradients of each part on its own.

    The loss scale belongs to the whole model. If a gradient of any part overflows, the step of all
    parts is skipped.

    Args:
        optimizer: The optimizer; see :func:`~mmspd.engine.fused_optimizer.fuse`.
        loss_scale: Initial scale of the loss; ``'dynamic'`` adapts the scale.
        dtype: Type of the forward pass under autocast. ``None`` is float16.
        use_fsdp: Use the loss scaler of ``FullyShardedDataParallel``.
        kwargs: Arguments of MMEngine's ``OptimWrapper``: ``accumulative_counts``, ``clip_grad``.
    """

    def __init__(self, optimizer: Optimizer, **kwargs: Any) -> None:
        super().__init__(optimizer=fuse(optimizer), **kwargs)


@OPTIM_WRAPPERS.register_module()
class OptimWrapper(ClipApart):
    """MMEngine's optimizer wrapper with bfloat16. Its steps do not wait for the device.

    bfloat16 has the range of float32 and needs no loss scaling. float16 needs loss scaling; use
    ``mmspd.AmpOptimWrapper`` for it.

    ``clip_grad`` clips the gradients of each part of the model on its own, see
    :class:`~mmspd.engine.gradient_clipping.ClipApart`.

    Args:
        optimizer: The optimizer; see :func:`~mmspd.engine.fused_optimizer.fuse`.
        dtype: ``'bfloat16'`` runs the forward pass under autocast. ``None`` runs it in float32.
        kwargs: Arguments of MMEngine's ``OptimWrapper``: ``accumulative_counts``, ``clip_grad``.

    Raises:
        UserError: ``dtype`` has another value.

    Examples:
        >>> import torch
        >>> from mmengine.optim import build_optim_wrapper
        >>> import mmspd.engine
        >>> model = torch.nn.Linear(4, 2)
        >>> optim_wrapper = dict(  # in a config
        ...     type='mmspd.OptimWrapper', dtype='bfloat16', optimizer=dict(type='Adam', lr=1e-4))
        >>> wrapper = build_optim_wrapper(model, optim_wrapper)
        >>> with wrapper.optim_context(model):
        ...     model(torch.ones(1, 4)).dtype
        torch.bfloat16
    """

    def __init__(self, optimizer: Optimizer, *, dtype: Optional[str] = None, **kwargs: Any) -> None:
        super().__init__(optimizer=fuse(optimizer), **kwargs)
        if dtype not in (None, 'bfloat16'):
            raise UserError(
                f'optim_wrapper.dtype={dtype!r} is not supported by mmspd.OptimWrapper; use '
                "'bfloat16' or None, or set optim_wrapper.type='mmspd.AmpOptimWrapper' for "
                'float16.'
            )
        self.dtype = dtype

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Turn on autocast. While gradients accumulate, do not exchange them between ranks.

        Args:
            model: The model. Autocast is turned on for the device of its first parameter.
        """
        device = next(model.parameters()).device
        with super().optim_context(model), autocast(device, self.dtype or 'float32'):
            yield


def take_unread(wrapper: _OptimWrapper) -> Dict[str, Tensor]:
    """Return the values on the device for the log, and delete them from an optimizer wrapper.

    Args:
        wrapper: An optimizer wrapper, or several ones as an ``OptimWrapperDict``.

    Returns:
        A dict from names to values. With several wrappers, the names start with the name of the
        wrapper, as in ``generator.grad_norm``.
    """
    if isinstance(wrapper, OptimWrapperDict):
        return {
            f'{name}.{key}': value
            for name, part in wrapper.items()
            for key, value in take_unread(part).items()
        }
    unread: Dict[str, Tensor] = getattr(wrapper, 'unread', {})
    values = dict(unread)
    unread.clear()
    return values
