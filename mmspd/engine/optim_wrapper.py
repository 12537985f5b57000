"""The optimizer step: in bfloat16 on any device, and without waiting for the device."""

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
    """MMEngine's optimizer wrapper, with bfloat16, that waits for nothing in a step.

    bfloat16 has the range of float32, so there is no loss scaling. float16, which needs it, is the
    business of ``mmengine.AmpOptimWrapper``.

    The norm of clipped gradients stays on the device, in :attr:`unread`, until
    :class:`~mmspd.engine.runtime_info_hook.RuntimeInfoHook` fetches it for the log.

    Args:
        dtype: ``'bfloat16'`` computes the forward pass under autocast; ``None`` in float32.
        kwargs: As for MMEngine's ``OptimWrapper``: ``optimizer``, ``accumulative_counts``,
            ``clip_grad``.

    Attributes:
        unread: Values for the log of the current iteration, by name, still on the device.

    Raises:
        UserError: ``dtype`` is another one.
    """

    def __init__(self, *, dtype: Optional[str] = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if dtype not in (None, 'bfloat16'):
            raise UserError(
                f"optim_wrapper.dtype={dtype!r}: mmspd.OptimWrapper knows 'bfloat16' and None; "
                "for float16 set optim_wrapper.type='mmengine.AmpOptimWrapper'"
            )
        self.dtype = dtype
        self.unread: Dict[str, Tensor] = {}

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast on the model's device, and no gradient exchange while accumulating."""
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
        if norm is not None:  # clipping by value has none
            self.unread[self.grad_name] = norm
