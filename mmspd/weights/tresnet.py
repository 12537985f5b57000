"""Convert TResNet weights of the ASL and TResNet repositories (Alibaba MIIL) for timm."""

from typing import Dict, NamedTuple

import torch
from torch import Tensor

from mmspd.errors import UserError

__all__ = ['ConvertedTResNet', 'asl_tresnet_to_timm', 'is_inplace_abn']

WIDTHS = {64: 'tresnet_m', 76: 'tresnet_l', 83: 'tresnet_xl'}  # from stem channels to name


class ConvertedTResNet(NamedTuple):
    """A converted TResNet.

    Attributes:
        name: Name of the model in timm.
        state: Weights of the model without its classifier.
    """

    name: str
    state: Dict[str, Tensor]


def is_inplace_abn(state: Dict[str, Tensor]) -> bool:
    """Tell whether weights have the layout of TResNet's authors, who use InPlaceABN.

    Args:
        state: The weights.

    Returns:
        True for this layout.
    """
    return any(key.endswith('body.conv1.0.weight') for key in state)


def asl_tresnet_to_timm(state: Dict[str, Tensor]) -> ConvertedTResNet:
    """Convert the body of a TResNet to timm's tensor names and ordinary batch normalization.

    InPlaceABN multiplies by ``|gamma| + 1e-5``. Ordinary batch normalization with the stored gamma
    would flip the sign of every channel with a negative gamma. timm's own filter does the
    conversion. The classifier is dropped, because ASL's classifier has a bottleneck that timm
    lacks, and the features do not need a classifier.

    Args:
        state: Weights in the layout of the TResNet and ASL repositories, without prefixes.

    Returns:
        The name of the model in timm and the converted weights.

    Raises:
        UserError: The weights belong to another network, or already have timm's layout.
    """
    if 'body.conv1.conv.weight' in state:
        raise UserError("The weights already have timm's layout; set MMSPD_TEACHER to this file.")
    if 'body.conv1.0.weight' not in state:
        raise UserError(
            f'{next(iter(state))!r} is not a tensor of a TResNet; use a checkpoint of ASL, such as '
            'Open_ImagesV6_TRresNet_L_448.pth.'
        )
    wrong = [key for key, value in state.items() if value.dtype == torch.bool]
    if wrong:
        raise UserError(
            f'The weight {wrong[0]} has the type {state[wrong[0]].dtype}; use an unmodified '
            'checkpoint of ASL.'
        )
    channels = next(iter(state['body.conv1.0.weight'].shape), 0)
    blocks = 'bottleneck' if 'body.layer1.0.conv3.0.weight' in state else 'basic'
    if channels not in WIDTHS or blocks == 'bottleneck':
        raise UserError(
            f'A TResNet with {channels} channels in its stem and {blocks} blocks in its first '
            f'stage is unknown; use a checkpoint of {", ".join(WIDTHS.values())}.'
        )
    from timm.models.tresnet import checkpoint_filter_fn  # optional: only timm's teachers need it

    body = {key: value for key, value in state.items() if not key.startswith('head.')}
    return ConvertedTResNet(
        WIDTHS[channels], checkpoint_filter_fn({'model': {'state_dict': body}}, None)
    )
