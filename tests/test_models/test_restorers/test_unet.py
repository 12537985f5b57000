import torch
from restorer_contract import OwnRestorerContract, count_parameters

from mmspd.registry import build_model


def _keys():
    keys = {'intro', 'ending', 'downs.0.main.0', 'downs.1.main.0', 'ups.0.main.0', 'ups.1.main.0'}
    for part in ('encoders', 'decoders'):
        keys |= {f'{part}.{level}.layers.0.main.{i}.main.0' for level in range(3) for i in range(2)}
    return {f'{key}.{kind}' for key in keys for kind in ('weight', 'bias')}


class TestUNet(OwnRestorerContract):
    restorer = dict(type='mmspd.UNet', base=8, num_res=1)
    official_keys = _keys()  # the paper published none; these are ours, and stay


def test_default_size():
    """45 GMAC and 4.9 M parameters, which fit the paper's run time."""
    assert count_parameters(build_model(dict(type='mmspd.UNet'))) == 4_908_291


def test_skips_are_sums():
    """Eq. 6 modulates f_de + f_en: at a seam the skip has been added."""
    torch.manual_seed(0)
    unet = build_model(dict(type='mmspd.UNet', base=8, num_res=1)).eval()
    features = {}
    unet.ups[1].register_forward_hook(lambda m, i, o: features.update(dec=o))
    unet.encoders[0].register_forward_hook(lambda m, i, o: features.update(enc=o))
    seams = {}

    def record(seam, dec):
        seams[seam] = dec
        return dec

    with torch.no_grad():
        unet(torch.rand(1, 3, 16, 16), record)
    assert torch.equal(seams['dec1'], features['dec'] + features['enc'])
