"""Recognize the official weights of NAFNet and Restormer; their networks come from MMagic."""

from typing import Any, Dict, List

from torch import Tensor

from mmspd.weights.published import Family, Published, count_modules, register_family


def _blocks(state: Dict[str, Tensor], name: str) -> List[int]:
    """Return the number of blocks in each of the lists ``name.0``, ``name.1``, ..."""
    levels = count_modules(state, rf'{name}\.(\d+)')
    return [count_modules(state, rf'{name}\.{level}\.(\d+)\.') for level in range(levels)]


def _nafnet_arguments(state: Dict[str, Tensor]) -> Dict[str, Any]:
    return dict(
        img_channels=state['intro.weight'].shape[1],
        mid_channels=state['intro.weight'].shape[0],
        enc_blk_nums=_blocks(state, 'encoders'),
        middle_blk_num=count_modules(state, r'middle_blks\.(\d+)'),
        dec_blk_nums=_blocks(state, 'decoders'),
    )


def _nafnet_of_width(width: int) -> Published:
    blocks = dict(enc_blk_nums=[1, 1, 1, 28], middle_blk_num=1, dec_blk_nums=[1] * 4)
    sizes = dict(img_channels=3, mid_channels=width, **blocks)
    return Published('nafnet', f'NAFNet of width {width}', sizes)


def _restormer_arguments(state: Dict[str, Tensor]) -> Dict[str, Any]:
    first = 'encoder_level1.0'
    levels = ['encoder_level1', 'encoder_level2', 'encoder_level3', 'latent']
    heads = [state.get(f'{level}.0.attn.temperature', ()) for level in levels]
    return dict(
        inp_channels=state['patch_embed.proj.weight'].shape[1],
        dim=state['patch_embed.proj.weight'].shape[0],
        num_blocks=[count_modules(state, rf'{level}\.(\d+)') for level in levels],
        num_refinement_blocks=count_modules(state, r'refinement\.(\d+)'),
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

register_family(
    Family(
        'mmagic.NAFNet',
        'NAFNet',
        marks=('intro.weight', 'ending.weight', 'encoders.0.0.conv1.weight'),
        sizes=_nafnet_arguments,
        published=(_nafnet_of_width(32), _nafnet_of_width(64)),
    )
)
register_family(
    Family(
        'mmagic.Restormer',
        'Restormer',
        marks=('patch_embed.proj.weight', 'encoder_level1.0.attn.qkv_dwconv.weight'),
        sizes=_restormer_arguments,
        published=(Published('restormer', 'Restormer', _RESTORMER),),
    )
)
