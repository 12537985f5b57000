"""An optimizer wrapper that supports bfloat16 and whose steps do not wait for the device."""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional

from mmengine.optim import OptimWrapper as _OptimWrapper
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.registry import OPTIM_WRAPPERS
from mmspd.utils.precision import autocast

__all__ = ['OptimWrapper']


@OPTIM_WRAPPERS.register_module()
class OptimWrapper(_OptimWrapper):
    """MMEngine's optimizer wrapper with bfloat16. Its steps do not wait for the device.

    bfloat16 has the range of float32 and needs no loss scaling. float16 needs loss scaling; use
    ``mmengine.AmpOptimWrapper`` for it.

    The norm of clipped gradients stays on the device, in :attr:`unread`, until
    :class:`~mmspd.engine.runtime_info_hook.RuntimeInfoHook` fetches it for the log.

    Args:
        dtype: ``'bfloat16'`` runs the forward pass under autocast. ``None`` runs it in float32.
        kwargs: Arguments of MMEngine's ``OptimWrapper``: ``optimizer``, ``accumulative_counts``,
            ``clip_grad``.

    Attributes:
        unread: A dict from names to values on the device, for the log of the current iteration.

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

    def __init__(self, *, dtype: Optional[str] = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if dtype not in (None, 'bfloat16'):
            raise UserError(
                f'optim_wrapper.dtype={dtype!r} is not supported by mmspd.OptimWrapper; use '
                "'bfloat16' or None, or set optim_wrapper.type='mmengine.AmpOptimWrapper' for "
                'float16.'
            )
        self.dtype = dtype
        self.unread: Dict[str, Tensor] = {}

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Turn on autocast. While gradients accumulate, do not exchange them between ranks.

        Args:
            model: The model. Autocast is turned on for the device of its first parameter.
        """
        device = next(model.parameters()).device
        with super().optim_context(model), autocast(device, self.dtype or 'float32'):
            yield

    def _clip_grad(self) -> None:
        grads = [
            parameter
            for group in self.optimizer.param_groups
            for parameter in group['params']
            if parameter.grad is not None
        ]
        norm = self.clip_func(grads, **self.clip_grad_kwargs)
        if norm is not None:  # clipping by value returns no norm
            self.unread[self.grad_name] = norm
