"""MMagic's NAFNet keeps the restorer contract through HookSeams, by config alone."""

from contracts.restorer import RestorerContract


class TestHookedNAFNet(RestorerContract):
    restorer = dict(
        type='mmagic.NAFNet',
        img_channels=3,
        mid_channels=8,
        enc_blk_nums=[1, 1],
        middle_blk_num=1,
        dec_blk_nums=[1, 1],
    )
    at = [dict(name='decoders.0', level=1), dict(name='decoders.1', level=0)]
