"""Build the optimizers of a model that trains against discriminators."""

import copy
from typing import Any, Dict, Optional

from mmengine.dist import get_world_size
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapperDict
from torch import nn

from mmspd.errors import UserError
from mmspd.registry import OPTIM_WRAPPER_CONSTRUCTORS

__all__ = ['AdversarialConstructor']

_ADVERSARY = 'discriminators'


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class AdversarialConstructor:
    """Builds two optimizers with equal settings.

    The optimizer ``discriminators`` trains the child ``discriminators`` of the model, the optimizer
    ``generator`` all other parts, also the heads of the prior loss. If the settings must differ,
    use ``paramwise_cfg``.

    Args:
        optim_wrapper_cfg: Config of an optimizer wrapper.
        paramwise_cfg: MMEngine's settings for single parameters. The names of the parameters of the
            discriminators start with ``discriminators.``.

    Examples:
        >>> from torch import nn
        >>> from mmspd.engine import AdversarialConstructor
        >>> parts = dict(generator=nn.Linear(3, 3), discriminators=nn.Linear(3, 1))
        >>> wrapper = dict(type='mmspd.OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))
        >>> list(AdversarialConstructor(wrapper)(nn.ModuleDict(parts)).keys())
        ['generator', 'discriminators']
    """

    def __init__(
        self, optim_wrapper_cfg: Dict[str, Any], paramwise_cfg: Optional[Dict[str, Any]] = None
    ) -> None:
        self.optim_wrapper_cfg = optim_wrapper_cfg
        self.paramwise_cfg = paramwise_cfg

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Build the optimizers.

        Args:
            model: The model.

        Returns:
            The optimizers ``generator`` and ``discriminators``.

        Raises:
            UserError: The model has no discriminators, or there are several processes.
        """
        if get_world_size() > 1:
            raise UserError(
                f'mmspd.AdversarialConstructor trains in one process, but the run has '
                f'{get_world_size()}; start it without a launcher.'
            )
        children = dict(model.named_children())
        if _ADVERSARY not in children:
            raise UserError(
                f'mmspd.AdversarialConstructor found no discriminators in {type(model).__name__}; '
                'remove optim_wrapper.constructor.'
            )
        parts = {
            'generator': {name: part for name, part in children.items() if name != _ADVERSARY},
            _ADVERSARY: {_ADVERSARY: children[_ADVERSARY]},
        }
        return OptimWrapperDict(
            **{
                name: DefaultOptimWrapperConstructor(
                    copy.deepcopy(self.optim_wrapper_cfg), copy.deepcopy(self.paramwise_cfg)
                )(nn.ModuleDict(part))
                for name, part in parts.items()
            }
        )
