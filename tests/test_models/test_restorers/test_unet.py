import torch
from restorer_contract import OwnRestorerContract

from mmspd.registry import build_model


class TestUNet(OwnRestorerContract):
    restorer = dict(type='mmspd.UNet', base=8, num_res=1)
    compiled_sizes = ((32, 48), (35, 45))  # the second size compiles again, for any size
    # 45 GMAC and 4.9 M parameters fit the paper's run time; the paper published no weights.
    official_sizes = [({}, 4_908_291, 45.2775, 156)]

    def reference(self, weights, img, cfg):
        def blocks(x, name):
            y = weights.conv(x, f'{name}.layers.0.main.0.main.0').relu()
            return x + weights.conv(y, f'{name}.layers.0.main.1.main.0')

        enc = [blocks(weights.conv(img, 'intro'), 'encoders.0')]
        for level in (1, 2):
            x = weights.conv(enc[-1], f'downs.{level - 1}.main.0', 2)
            enc.append(blocks(x, f'encoders.{level}'))
        x = blocks(enc[2], 'decoders.0')
        for level in (1, 2):
            x = weights.deconv(x, f'ups.{level - 1}.main.0') + enc[2 - level]
            x = blocks(x, f'decoders.{level}')
        return [weights.conv(x, 'ending') + img]


def test_skips_are_sums():
    """Eq. 6 modulates f_de + f_en, so each seam is after the skip sum."""
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
