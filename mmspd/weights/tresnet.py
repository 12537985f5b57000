"""TResNet weights of ASL and TResNet (Alibaba MIIL), for timm."""

from typing import Dict, NamedTuple

from torch import Tensor

from mmspd.errors import UserError

__all__ = ['ConvertedTResNet', 'asl_tresnet_to_timm', 'is_inplace_abn']

WIDTHS = {64: 'tresnet_m', 76: 'tresnet_l', 83: 'tresnet_xl'}  # by the channels of the stem


class ConvertedTResNet(NamedTuple):
    """timm's name of a model, and the weights of its body."""

    name: str
    state: Dict[str, Tensor]


def is_inplace_abn(state: Dict[str, Tensor]) -> bool:
    """Tell whether weights are of a TResNet with InPlaceABN, in the layout of its authors."""
    return any(key.endswith('body.conv1.0.weight') for key in state)


def asl_tresnet_to_timm(state: Dict[str, Tensor]) -> ConvertedTResNet:
    """Rename the tensors of a TResNet's body as timm names them, and make gammas plain.

    timm does both: InPlaceABN uses ``|gamma| + 1e-5``, and batch normalization with the raw gamma
    would flip the sign of every channel whose gamma is negative. The classifier is left out: ASL's
    has a bottleneck that timm does not have, and the features end before it.

    Args:
        state: weights in the layout of the TResNet and ASL repositories, without prefixes.

    Raises:
        UserError: they are of another network, or in timm's layout already.
    """
    if 'body.conv1.conv.weight' in state:
        raise UserError(
            "The weights are in timm's layout already; set MMSPD_TEACHER to the file itself."
        )
    if 'body.conv1.0.weight' not in state:
        raise UserError(
            f'{next(iter(state))!r} is no tensor of a TResNet; give a checkpoint of ASL, such as '
            'Open_ImagesV6_TRresNet_L_448.pth.'
        )
    channels = state['body.conv1.0.weight'].shape[0]
    if channels not in WIDTHS or 'body.layer1.0.conv3.0.weight' in state:
        raise UserError(
            f'A TResNet with {channels} channels in its stem and these blocks is none of '
            f'{", ".join(WIDTHS.values())}; give a checkpoint of one of those.'
        )
    from timm.models.tresnet import checkpoint_filter_fn  # optional: only its teachers need it

    body = {key: value for key, value in state.items() if not key.startswith('head.')}
    return ConvertedTResNet(WIDTHS[channels], checkpoint_filter_fn(body, None))
