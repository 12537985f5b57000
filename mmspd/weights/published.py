"""The restorers of the official projects, recognized by the names and sizes in their weights.

Nothing here knows the restorers' classes: names and sizes are facts of the published files.
"""

import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from torch import Tensor

__all__ = ['NAMES', 'Recognized', 'recognize', 'usual_size']

State = Dict[str, Tensor]
Arguments = Dict[str, Any]


class Recognized(NamedTuple):
    """What a state dict looks like.

    Attributes:
        name: the restorer's name for the converter, such as ``mimounetplus``.
        title: in prose, such as ``MIMO-UNet+``.
        cfg: a config that builds it.
    """

    name: str
    title: str
    cfg: Arguments


class Published(NamedTuple):
    """A published size: name, title, and the arguments that are read off its weights."""

    name: str
    title: str
    sizes: Arguments


class Family(NamedTuple):
    """Restorers of one class.

    Attributes:
        type: registered name of the class.
        title: its name in prose.
        marks: convolutions that all of them have; no other family has them all.
        sizes: reads the constructor's arguments off a state dict that has the marks.
        published: the usual size first.
    """

    type: str
    title: str
    marks: Sequence[str]
    sizes: Callable[[State], Arguments]
    published: Sequence[Published]


def _count(state: State, pattern: str) -> int:
    """Number of modules in a row, given a pattern with the place as its group."""
    places = [int(match[1]) for match in map(re.compile(pattern).match, state) if match]
    return 1 + max(places, default=-1)


def _counts(state: State, name: str) -> List[int]:
    """Number of blocks in each of the lists ``name.0``, ``name.1``, ..."""
    return [
        _count(state, rf'{name}\.{i}\.(\d+)\.') for i in range(_count(state, rf'{name}\.(\d+)'))
    ]


def _mimo(state: State) -> Arguments:
    num_res = _count(state, r'(?:En|De)coder\.\d\.layers\.(\d+)')
    # nothing in a file tells the dropout; it belongs to the larger network
    plus = dict(dropout=0.1) if num_res == 20 else {}
    return dict(base=state['feat_extract.0.main.0.weight'].shape[0], num_res=num_res, **plus)


def _mprnet(state: State) -> Arguments:
    base = state['shallow_feat1.0.weight'].shape[0]
    growth = state['stage1_encoder.down12.down.1.weight'].shape[0] - base
    narrow = state['shallow_feat1.1.CA.conv_du.0.weight'].shape[0]
    sizes = dict(base=base, growth=growth, reduction=base // narrow)
    if 'tail.weight' not in state:
        return dict(sizes, num_stages=1)
    return dict(
        sizes,
        orsnet_growth=state['tail.weight'].shape[1] - base,
        num_cab=_count(state, r'stage3_orsnet\.orb\d\.body\.(\d+)\.body'),
    )


def _mssnet(state: State) -> Arguments:
    base = state['shallow_feat1.0.weight'].shape[0]
    middle, coarse = (state[f'E1_1.down{step}.down.1.weight'].shape[0] for step in (12, 23))
    # U-Nets are numbered from 1
    num_unets = tuple(_count(state, rf'E{scale}_(\d+)\.') - 1 for scale in (1, 2, 3))
    return dict(base=base, growth=middle - base, coarse_growth=coarse - middle, num_unets=num_unets)


def _deep_deblur(state: State) -> Arguments:
    convs_and_blocks = _count(state, r'body_models\.\d\.body\.(\d+)')
    return dict(base=state['body_models.0.body.0.weight'].shape[0], num_res=convs_and_blocks - 2)


def _dmphn(state: State) -> Arguments:
    return dict(base=state['encoder_lv1.layer1.weight'].shape[0])


def _nafnet(state: State) -> Arguments:
    return dict(
        img_channels=state['intro.weight'].shape[1],
        mid_channels=state['intro.weight'].shape[0],
        enc_blk_nums=_counts(state, 'encoders'),
        middle_blk_num=_count(state, r'middle_blks\.(\d+)'),
        dec_blk_nums=_counts(state, 'decoders'),
    )


def _restormer(state: State) -> Arguments:
    first = 'encoder_level1.0'
    levels = ['encoder_level1', 'encoder_level2', 'encoder_level3', 'latent']
    heads = [state.get(f'{level}.0.attn.temperature', ()) for level in levels]
    return dict(
        inp_channels=state['patch_embed.proj.weight'].shape[1],
        dim=state['patch_embed.proj.weight'].shape[0],
        num_blocks=[_count(state, rf'{level}\.(\d+)') for level in levels],
        num_refinement_blocks=_count(state, r'refinement\.(\d+)'),
        heads=[len(head) for head in heads],
        bias=f'{first}.attn.qkv.bias' in state,
        LayerNorm_type='WithBias' if f'{first}.norm1.body.bias' in state else 'BiasFree',
        dual_pixel_task='skip_conv.weight' in state,
    )


_RESTORMER = dict(
    inp_channels=3,
    dim=48,
    num_blocks=[4, 6, 6, 8],
    num_refinement_blocks=4,
    heads=[1, 2, 4, 8],
    bias=False,
    LayerNorm_type='WithBias',
    dual_pixel_task=False,
)


def _mssnet_sizes(base: int, growth: int) -> Arguments:
    return dict(base=base, growth=growth, coarse_growth=growth, num_unets=(1, 2, 3))


def _nafnet_sizes(width: int) -> Arguments:
    blocks = dict(enc_blk_nums=[1, 1, 1, 28], middle_blk_num=1, dec_blk_nums=[1] * 4)
    return dict(img_channels=3, mid_channels=width, **blocks)


FAMILIES = (
    Family(
        'mmspd.MIMOUNet',
        'MIMO-UNet',
        ('feat_extract.0.main.0.weight', 'SCM1.conv.main.0.weight'),
        _mimo,
        (
            Published('mimounet', 'MIMO-UNet', dict(base=32, num_res=8)),
            Published('mimounetplus', 'MIMO-UNet+', dict(base=32, num_res=20, dropout=0.1)),
        ),
    ),
    Family(
        'mmspd.MPRNet',
        'MPRNet',
        (
            'shallow_feat1.0.weight',
            'shallow_feat1.1.CA.conv_du.0.weight',
            'stage1_encoder.down12.down.1.weight',
        ),
        _mprnet,
        (
            Published(
                'mprnet',
                'MPRNet',
                dict(base=96, growth=48, reduction=4, orsnet_growth=32, num_cab=8),
            ),
            Published(
                'mprnet', 'stage 1 of MPRNet', dict(base=96, growth=48, reduction=4, num_stages=1)
            ),
        ),
    ),
    Family(
        'mmspd.MSSNet',
        'MSSNet',
        (
            'shallow_feat1.0.weight',
            'E1_1.down12.down.1.weight',
            'E1_1.down23.down.1.weight',
        ),
        _mssnet,
        (
            Published('mssnet', 'MSSNet', _mssnet_sizes(54, 42)),
            Published('mssnet', 'MSSNet-small', _mssnet_sizes(20, 40)),
            Published('mssnet', 'MSSNet-large', _mssnet_sizes(80, 50)),
        ),
    ),
    Family(
        'mmspd.DeepDeblur',
        'DeepDeblur',
        ('body_models.0.body.0.weight', 'conv_end_models.1.uppath.0.weight'),
        _deep_deblur,
        (
            Published('deepdeblur', 'DeepDeblur', dict(base=64, num_res=19)),
            Published('deepdeblur', 'DeepDeblur of 6 blocks', dict(base=64, num_res=6)),
        ),
    ),
    Family(
        'mmspd.DMPHN',
        'DMPHN',
        ('encoder_lv1.layer1.weight', 'decoder_lv3.layer24.weight'),
        _dmphn,
        (Published('dmphn', 'DMPHN', dict(base=32)),),
    ),
    Family(
        'mmagic.NAFNet',
        'NAFNet',
        ('intro.weight', 'ending.weight', 'encoders.0.0.conv1.weight'),
        _nafnet,
        (
            Published('nafnet', 'NAFNet of width 32', _nafnet_sizes(32)),
            Published('nafnet', 'NAFNet of width 64', _nafnet_sizes(64)),
        ),
    ),
    Family(
        'mmagic.Restormer',
        'Restormer',
        ('patch_embed.proj.weight', 'encoder_level1.0.attn.qkv_dwconv.weight'),
        _restormer,
        (Published('restormer', 'Restormer', _RESTORMER),),
    ),
)

NAMES = tuple(dict.fromkeys(size.name for family in FAMILIES for size in family.published))


def recognize(state: State) -> Optional[Recognized]:
    """Tell what restorer a state dict is of.

    Args:
        state: weights under the official names, without wrappers and prefixes.

    Returns:
        The restorer and the sizes found in the weights, published or not; ``None`` where the
        weights are of none that is known here.
    """
    for family in FAMILIES:
        if any(mark not in state or state[mark].dim() != 4 for mark in family.marks):
            continue
        sizes = family.sizes(state)
        nearest = max(family.published, key=lambda size: _agreement(size.sizes, sizes))
        title = nearest.title
        if nearest.sizes != sizes:
            listed = ', '.join(f'{key}={value!r}' for key, value in sizes.items())
            title = f'{family.title} of another size ({listed})'
        return Recognized(nearest.name, title, dict(type=family.type, **sizes))
    return None


def _agreement(published: Arguments, sizes: Arguments) -> Tuple[bool, int]:
    """How near two sizes are: equal ones first, then by the number of arguments they share."""
    return published == sizes, sum(published.get(key) == value for key, value in sizes.items())


def usual_size(name: str) -> Arguments:
    """Config of the restorer of a name in :data:`NAMES`, in the size that is published first."""
    sizes = [(family.type, size) for family in FAMILIES for size in family.published]
    return next(dict(type=kind, **size.sizes) for kind, size in sizes if size.name == name)
