"""Clip the gradients of a restorer apart from the gradients of its prior."""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from mmengine.optim import OptimWrapper as _OptimWrapper
from torch import Tensor, nn

from mmspd.errors import UserError

__all__ = ['ClipApart']


class ClipApart(_OptimWrapper):
    """An optimizer wrapper that clips the gradients of each part of a model on its own.

    The norm in the recipe of a restorer is the norm of the restorer's gradients. With a joint norm,
    the gradients of a prior would shorten the steps of the restorer. A module names the child that
    is clipped apart in its attribute ``clipped_apart``, as
    :class:`~mmspd.models.guided.SemanticGuided` does. All other parameters of the optimizer are
    clipped together, to the same norm.

    The norms stay on the device, in :attr:`unread`, until
    :class:`~mmspd.engine.runtime_info_hook.RuntimeInfoHook` fetches them for the log.

    Args:
        kwargs: Arguments of MMEngine's wrapper.

    Attributes:
        unread: A dict from names to values on the device, for the log of the current iteration.
            ``grad_norm`` is the norm of the parameters that are clipped apart, and
            ``grad_norm_prior`` the norm of the others. If no gradients are clipped apart,
            ``grad_norm`` is the norm of all gradients.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.unread: Dict[str, Tensor] = {}
        self._apart: Optional[Set[int]] = None

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Find the parts of the model. While gradients accumulate, do not exchange them.

        Args:
            model: The model that computes the loss inside this context.
        """
        if self._apart is None and self.clip_grad_kwargs:
            self._apart = _clipped_apart(model)
        with super().optim_context(model):
            yield

    def _clip_grad(self) -> None:
        if self._apart is None:
            raise UserError(
                'optim_wrapper.clip_grad needs the parts of the model; compute the loss inside '
                'optim_wrapper.optim_context(model).'
            )
        apart: List[nn.Parameter] = []
        others: List[nn.Parameter] = []
        for group in self.optimizer.param_groups:
            for parameter in group['params']:
                if parameter.grad is not None:
                    (apart if id(parameter) in self._apart else others).append(parameter)
        self._clip(apart or others, self.grad_name)
        if apart and others:
            self._clip(others, f'{self.grad_name}_prior')

    def _clip(self, parameters: List[nn.Parameter], name: str) -> None:
        norm = self.clip_func(parameters, **self.clip_grad_kwargs)
        if norm is not None:  # clipping by value returns no norm
            self.unread[name] = norm


def _clipped_apart(model: nn.Module) -> Set[int]:
    """Return the ids of all parameters that a module of the model clips apart."""
    named: List[Tuple[nn.Module, Any]] = [
        (module, getattr(module, 'clipped_apart', None)) for module in model.modules()
    ]
    parts = [module.get_submodule(name) for module, name in named if name is not None]
    return {id(parameter) for part in parts for parameter in part.parameters()}
