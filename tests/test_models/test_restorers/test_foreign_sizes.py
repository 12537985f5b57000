"""MMagic's restorers accept a prior at any size, also those that refuse sizes by themselves."""

import copy

import pytest
import torch
from restorer_contract import guide, image, randomize

from mmspd.errors import UserError
from mmspd.models.guided import as_list
from mmspd.models.layers.any_size import SizeLimits
from mmspd.models.layers.padding import crop_to, pad_to_multiple
from mmspd.registry import build_model

RGB = dict(in_channels=3, out_channels=3)
RRDB = dict(RGB, type='mmagic.RRDBNet', mid_channels=8, num_blocks=1, growth_channels=4)
SWIN = dict(
    type='mmagic.SwinIRNet', upscale=1, in_chans=3, img_range=1.0, depths=[1], embed_dim=12,
    num_heads=[2], mlp_ratio=2, upsampler='', resi_connection='1conv',
)  # fmt: skip
NAF = dict(mid_channels=4, enc_blk_nums=[1, 1], middle_blk_num=1, dec_blk_nums=[1, 1])
LEVELS = dict(num_blocks=[1, 1, 1, 1], heads=[1, 1, 1, 1], num_refinement_blocks=1)
AOT = dict(
    encoder=dict(type='AOTEncoder', in_channels=3, mid_channels=8, out_channels=16),
    decoder=dict(type='AOTDecoder', in_channels=16, mid_channels=8, out_channels=3),
    dilation_neck=dict(type='AOTBlockNeck', in_channels=16, num_aotblock=1),
)
NORM = dict(norm_cfg=dict(type='IN'))

#: Config of each network, its seam, and the sizes that it accepts by itself.
NETWORKS = {
    'RRDBNet': (dict(RRDB, upscale_factor=1), 'conv_last', SizeLimits(4, 4)),
    'SwinIR8': (dict(SWIN, window_size=8, img_size=48), 'conv_last', SizeLimits(1, 5)),
    'SwinIR12': (dict(SWIN, window_size=12, img_size=48), 'conv_last', SizeLimits(1, 7)),
    'NAFNet': (dict(NAF, type='mmagic.NAFNet', img_channels=3), 'ending', SizeLimits()),
    'NAFNetLocal': (dict(NAF, type='mmagic.NAFNetLocal', img_channels=3), 'ending', SizeLimits()),
    'NAFBaseline': (dict(NAF, type='mmagic.NAFBaseline', img_channel=3), 'ending', SizeLimits()),
    'Restormer': (dict(LEVELS, type='mmagic.Restormer', dim=8), 'refinement', SizeLimits(1, 5)),
    'DeblurGANv2': (
        dict(type='mmagic.DeblurGanV2Generator', backbone='FPNMobileNet', norm_layer='instance'),
        'smooth2',
        SizeLimits(32, 32),
    ),
    'EDSR': (
        dict(RGB, type='mmagic.EDSRNet', mid_channels=8, num_blocks=1, upscale_factor=1),
        'conv_last',
        SizeLimits(),
    ),
    'SRCNN': (
        dict(type='mmagic.SRCNNNet', channels=(3, 8, 4, 3), upscale_factor=1),
        'conv3',
        SizeLimits(),
    ),
    'UnetGenerator': (
        dict(RGB, type='mmagic.UnetGenerator', num_down=5, base_channels=4, **NORM),
        'model.model',
        SizeLimits(32, 32),
    ),
    'ResnetGenerator': (
        dict(RGB, type='mmagic.ResnetGenerator', base_channels=4, num_blocks=1, **NORM),
        'model.6',
        SizeLimits(4, 8),
    ),
    'AOT': (dict(type='mmagic.AOTEncoderDecoder', **AOT), 'decoder', SizeLimits(4, 36)),
}


@pytest.mark.parametrize(
    'name', [pytest.param(n, marks=[pytest.mark.slow] * (n != 'RRDBNet')) for n in NETWORKS]
)
@torch.no_grad()
def test_the_prior_goes_on_any_size(name):
    cfg, seam, limits = NETWORKS[name]
    torch.manual_seed(0)
    bare = build_model(dict(cfg, _scope_='mmagic')).eval()
    identity = guide(copy.deepcopy(bare), seams=[dict(name=seam, level=0)]).eval()
    assert identity.restorer.size_limits == limits
    guided = randomize(copy.deepcopy(identity))
    for size in ((1, 1), (1, 9), (7, 5), (33, 47), (64, 96)):
        img = image(*size)
        want = crop_to(as_list(bare(pad_to_multiple(img, **limits._asdict())))[-1], *size)
        assert torch.equal(identity(img)[-1], want)
        assert guided(img)[-1].shape == img.shape


@pytest.mark.parametrize('restorer', [dict(RRDB, upscale_factor=4), dict(SWIN, upscale=2)])
def test_super_resolution_is_refused(restorer):
    if restorer['type'] == 'mmagic.SwinIRNet':
        restorer.update(upsampler='pixelshuffle', window_size=8, img_size=48)
    with pytest.raises(UserError, match='must keep the shape; set its upscaling factor to 1'):
        guide(restorer, seams=['conv_last'])
