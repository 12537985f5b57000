"""Find the weights in the containers that training codes write.

All loaders use :func:`unwrap_state`, so a file has the same weights for all of them.
"""

import re
from typing import Any, Callable, Dict, Mapping

import torch
from torch import Tensor

from mmspd.errors import UserError

__all__ = ['rename_weights', 'unwrap_state']

# Keys under which training code stores a state dict, in order of precedence. In this order, the
# keys come from MMEngine and MPRNet, MSSNet, BasicSR (params_ema: averaged weights for testing),
# BasicSR, MIMO-UNet and ASL, timm, DeepDeblur (G: the generator), MMEngine (with EMAHook,
# state_dict has the averaged weights and ema_state_dict those of the last step). The last ones are
# common names of averaged weights.
WRAPPERS = (
    ('state_dict', 'model_state_dict')
    + ('params_ema', 'params')
    + ('model', 'state_dict_ema', 'G', 'ema_state_dict')
    + ('model_ema', 'ema')
)
# Prefixes of data-parallel training and of averaged models; torch.compile adds a level anywhere.
_PREFIXES = re.compile(r'^(?:module\.|_orig_mod\.)+')
_COMPILED = '_orig_mod.'
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
MAX_NAME = 300
# Counters of averaged models, beside the weights
_COUNTERS = ('steps', 'n_averaged')


def unwrap_state(content: Any, path: str) -> Dict[str, Tensor]:
    """Find the state dict in a checkpoint and remove the prefixes of wrappers from its names.

    Args:
        content: The content of a checkpoint file.
        path: The file, for the error message.

    Returns:
        The state dict, without ``module.`` (data-parallel training, averaged models) and
        ``_orig_mod.`` (``torch.compile``).

    Raises:
        UserError: The checkpoint contains no state dict, a weight is not a tensor, or a weight is
            contained twice.

    Examples:
        >>> import torch
        >>> from mmspd.weights.containers import unwrap_state
        >>> unwrap_state({'model': {'module._orig_mod.conv.bias': torch.zeros(1)}}, 'model.pth')
        {'conv.bias': tensor([0.])}
    """
    while isinstance(content, dict):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), dict)), None)
        if inner is None:
            break
        content = inner
    items = content.items() if isinstance(content, dict) else ()
    tensors = {}
    for key, value in items:
        if isinstance(key, str) and _is_weight(key, value, path):
            tensors[key] = value
    if not tensors:
        raise UserError(f'{path} contains no state dict; use a checkpoint or a plain state dict.')
    if all(key.startswith('module.') for key in tensors if key not in _COUNTERS):
        tensors = {key: value for key, value in tensors.items() if key not in _COUNTERS}
    return rename_weights(tensors, _without_wrappers, path)


def _is_weight(name: str, value: Any, path: str) -> bool:
    """Tell whether a value is a weight; raise a UserError if it is not usable as one."""
    if not name.isprintable() or len(name) > MAX_NAME:
        raise UserError(f'{path} has a weight whose name cannot be printed; use another file.')
    if isinstance(value, Tensor):
        if value.is_floating_point() and value.dtype not in _FLOATS:
            raise UserError(
                f'{path} has the weight {name} in the number format {value.dtype}; convert it to '
                'torch.float32.'
            )
        return True
    if '.' in name and not name.endswith('_extra_state'):
        raise UserError(
            f'{path} has a {type(value).__name__} for the weight {name}, not a tensor; use another '
            'file.'
        )
    return False


def _without_wrappers(name: str) -> str:
    return _PREFIXES.sub('', name).replace(f'.{_COMPILED}', '.')


def rename_weights(
    state: Mapping[str, Tensor], rename: Callable[[str], str], path: str
) -> Dict[str, Tensor]:
    """Rename the tensors of a state dict.

    Args:
        state: The state dict.
        rename: Function from the name of a tensor to its new name.
        path: The file, for the error message.

    Returns:
        The tensors under their new names.

    Raises:
        UserError: Two tensors would have the same name.
    """
    names: Dict[str, str] = {}
    for name in state:
        first = names.setdefault(rename(name), name)
        if first != name:
            raise UserError(
                f'{path} has the weight {rename(name)} twice, as {first} and as {name}; remove '
                'one of them.'
            )
    return {new: state[name] for new, name in names.items()}
