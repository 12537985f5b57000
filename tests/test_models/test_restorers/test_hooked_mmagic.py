"""MMagic's restorers, guided through HookSeams by config alone."""

import copy
import pickle

import pytest
import torch
from restorer_contract import RestorerContract, backward, guide, image, randomize

from mmspd.models.guided import as_list
from mmspd.registry import build_model

NAFNET = dict(
    img_channels=3, mid_channels=4, enc_blk_nums=[1, 1], middle_blk_num=1, dec_blk_nums=[1, 1]
)


class TestNAFNet(RestorerContract):
    restorer = dict(type='mmagic.NAFNet', **NAFNET)
    seams = [dict(name='decoders.0', level=1), dict(name='decoders.1', level=0)]


class Hooked:
    """What a restorer of another project keeps, without the sizes and speed of the contract."""

    small = None

    @pytest.fixture
    def guided(self):
        torch.manual_seed(0)
        return guide(self.restorer, self.seams).eval()

    def test_starts_as_the_plain_restorer_and_leaves_it_when_it_learns(self, guided):
        img = image(64, 64)
        plain = build_model(self.restorer)
        plain.load_state_dict(guided.restorer.state_dict(), strict=True)
        learned = randomize(copy.deepcopy(guided))
        with torch.no_grad():
            expected = as_list(plain.eval()(img))[-1]
            assert torch.equal(as_list(guided(img))[-1], expected)
            assert not torch.equal(as_list(learned(img))[-1], as_list(learned.restorer(img))[-1])

    def test_prior_and_embedding_are_trained(self, guided):
        gradients = backward(randomize(copy.deepcopy(guided)), image(64, 64))
        own = {name: grad for name, grad in gradients.items() if not name.startswith('restorer.')}
        assert own
        assert not [name for name, grad in own.items() if grad.abs().sum() == 0]

    def test_copies_keep_their_seams(self, guided):
        learned, img = randomize(copy.deepcopy(guided)), image(64, 64)
        for copied in (copy.deepcopy(learned), pickle.loads(pickle.dumps(learned))):
            with torch.no_grad():
                assert torch.equal(as_list(copied(img))[-1], as_list(learned(img))[-1])


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


class TestSwinIR(Hooked):
    """A transformer on tokens: the seams are the two convolutions that see a feature map."""

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


class TestDeblurGANv2(Hooked):
    """A feature pyramid: heads at strides 4 to 32, smoothing at 4 and 2."""

    restorer = dict(
        type='mmagic.DeblurGanV2Generator',
        backbone='FPNMobileNet',
        norm_layer='instance',
        num_filter=8,
        num_filter_fpn=16,
    )
    seams = ['smooth', 'smooth2']
