"""MMagic's restorers, guided through HookSeams by config only."""

import torch
from restorer_contract import GuidedContract, RestorerContract

NAFNET = dict(
    img_channels=3, mid_channels=4, enc_blk_nums=[1, 1], middle_blk_num=1, dec_blk_nums=[1, 1]
)


class TestNAFNet(RestorerContract):
    restorer = dict(type='mmagic.NAFNet', **NAFNET)
    seams = [dict(name='decoders.0', level=1), dict(name='decoders.1', level=0)]


class Hooked(GuidedContract):
    """The contract of a foreign restorer, without the checks of sizes and speed."""

    size = odd = (64, 64)
    dtypes = (torch.float32,)


class TestNAFNetLocal(Hooked):
    restorer = dict(type='mmagic.NAFNetLocal', train_size=(1, 3, 16, 16), **NAFNET)
    seams = ['decoders.0', 'decoders.1']
    small = dict(mid_channels=4, enc_blk_nums=[1, 1, 1, 1])


class TestRestormer(Hooked):
    restorer = dict(
        type='mmagic.Restormer',
        inp_channels=3,
        dim=8,
        num_blocks=[1, 1, 1, 1],
        num_refinement_blocks=1,
        heads=[1, 1, 2, 2],
        bias=False,
        LayerNorm_type='WithBias',
        dual_pixel_task=False,
    )
    seams = [
        dict(name='decoder_level3', level=2),
        dict(name='decoder_level2', level=1),
        dict(name='decoder_level1', level=0),
    ]
    mutated_size = (8, 16)


class TestSwinIR(Hooked):
    """A transformer on tokens; the seams are the two convolutions with a feature map as input."""

    restorer = dict(
        type='mmagic.SwinIRNet',
        upscale=1,
        in_chans=3,
        img_size=32,
        window_size=8,
        img_range=1.0,
        depths=[1],
        embed_dim=12,
        num_heads=[2],
        mlp_ratio=2,
        upsampler='',
        resi_connection='1conv',
    )
    seams = [dict(name='conv_after_body', level=1), dict(name='conv_last', level=0)]
