"""Convert the variables of TensorFlow to PyTorch's names and layout."""

import re
from typing import Dict, Mapping

from torch import Tensor

from mmspd.weights.containers import rename_weights

__all__ = ['from_tf_variables', 'is_weight']

# The state of the optimizer Adam, and the step, which has no name of its own.
_TRAINING = re.compile(r'.*/Adam(?:_1)?|(?:.*/)?beta[12]_power|Variable')
_NETWORK = 'g_net/'  # the scope of the network in SRN and PSS-NSC
_KINDS = {'weights': 'weight', 'biases': 'bias'}


def is_weight(name: str) -> bool:
    """Tell whether a variable belongs to the network, and not to its training.

    Args:
        name: Name of the variable.

    Returns:
        False for the state of the optimizer and the number of the step.

    Examples:
        >>> from mmspd.weights.tf_variables import is_weight
        >>> [is_weight(f'g_net/dec1_0/{name}') for name in ('weights', 'weights/Adam_1')]
        [True, False]
    """
    return _TRAINING.fullmatch(name) is None


def from_tf_variables(variables: Mapping[str, Tensor], path: str) -> Dict[str, Tensor]:
    """Convert the variables of a network of TF-Slim to a state dict.

    The kernels (height, width, input, output) become (output, input, height, width). TensorFlow
    stores transposed kernels as (height, width, output, input), so they become PyTorch's (input,
    output, height, width) in the same way.

    Args:
        variables: The variables under TensorFlow's names.
        path: The file, for the error message.

    Returns:
        The state dict.

    Raises:
        UserError: Two variables have the same name in PyTorch.

    Examples:
        >>> import torch
        >>> from mmspd.weights.tf_variables import from_tf_variables
        >>> state = from_tf_variables({'g_net/enc1_1/weights': torch.rand(5, 5, 2, 32)}, 'a.npz')
        >>> [(name, tuple(weight.shape)) for name, weight in state.items()]
        [('enc1_1.weight', (32, 2, 5, 5))]
    """
    state = rename_weights(variables, _rename, path)
    return {
        name: weight.permute(3, 2, 0, 1).contiguous() if weight.dim() == 4 else weight
        for name, weight in state.items()
    }


def _rename(name: str) -> str:
    *modules, kind = name.removeprefix(_NETWORK).split('/')
    return '.'.join([*modules, _KINDS.get(kind, kind)])
