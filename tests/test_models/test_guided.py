"""SemanticGuided: levels, padding, error messages, and use inside a plain MMagic model."""

import pytest
import torch
from restorer_contract import (
    EMBEDDING,
    PRIOR,
    backward,
    check_every_block_is_visible,
    guide,
    image,
    randomize,
)
from torch import nn
from unit_gain import unit_gain

from mmspd.models.layers.padding import pad_to_multiple
from mmspd.models.seams import no_fuse
from mmspd.registry import MODELS

UNET = dict(type='mmspd.UNet', base=4, num_res=1)
GUIDED = dict(type='mmspd.SemanticGuided', restorer=UNET, prior=PRIOR, embedding=EMBEDDING)
NAFNET = dict(
    type='mmagic.NAFNet',
    img_channels=3,
    mid_channels=8,
    enc_blk_nums=[1, 1, 1, 1],
    middle_blk_num=1,
    dec_blk_nums=[1, 1, 1, 1],
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('prior', 'fusion'),
    [
        (PRIOR, 'mmspd.SAT'),
        (PRIOR, 'mmspd.AddFusion'),
        (PRIOR, 'mmspd.ConcatFusion'),
        (dict(type='mmspd.SegmapSPL', num_classes=5), 'mmspd.SAT'),
    ],
)
def test_every_block_of_the_prior_and_the_embedding_changes_the_output(prior, fusion):
    guided = unit_gain(guide(UNET, fusion=fusion, prior=prior).double().eval())
    img = image(16, 24).double()
    check_every_block_is_visible(guided, img, within=('prior', 'embedding'))


@pytest.mark.slow
def test_finest_seam_takes_the_finest_level():
    assert guide(UNET).embedding.levels == {'dec3': 2, 'dec2': 1, 'dec1': 0}
    assert guide(UNET, seams=['dec1', 'dec3']).embedding.levels == {'dec1': 0, 'dec3': 1}
    nafnet = guide(NAFNET, seams=['decoders.1', 'decoders.2', 'decoders.3'])
    assert nafnet.embedding.levels == {'decoders.1': 2, 'decoders.2': 1, 'decoders.3': 0}


def test_level_can_be_stated():
    guided = guide(UNET, seams=['dec1', dict(name='dec2', level=2)])
    assert guided.embedding.levels == {'dec1': 0, 'dec2': 2}
    assert guided.embedding.fusions['dec2'].scale == 4  # prior at stride 8, seam at stride 2
    assert guided.embedding.fusions['dec1'].scale == 2


def test_the_priors_padding_covers_the_restorers():
    """NAFNet pads to 16, the prior needs 8: the prior sees an image padded to 16."""
    guided = randomize(guide(NAFNET, seams=['decoders.2', 'decoders.3'])).eval()
    assert guided.multiple == 16
    seen = {}
    guided.prior.register_forward_pre_hook(lambda m, args: seen.update(size=args[0].shape))
    with torch.no_grad():
        assert guided(image(35, 45))[-1].shape == (1, 3, 35, 45)
    assert seen['size'] == (1, 3, 48, 48)


def test_an_odd_size_equals_its_padded_image():
    """Manual padding to the multiple gives the same features as the padding of the model."""
    guided = randomize(guide(UNET)).eval()
    img = image(37, 43)  # to 40 and 44 for the restorer, 40 and 48 for the prior
    seen = {}

    def keep(name):
        return lambda module, args, out: seen.setdefault(name, []).append(out)

    guided.embedding.fusions['dec1'].delta.register_forward_hook(keep('delta'))
    with torch.no_grad():
        guided(img)
        guided(pad_to_multiple(img, 8))
    assert torch.equal(*seen['delta'])


def test_a_crop_is_restored_with_the_same_crop_of_the_prior():
    """Far from the borders of the crop, both results agree."""
    guided = randomize(guide(UNET)).eval()
    img = image(32, 256)
    with torch.no_grad():
        prior = guided.compute_prior(img)
        part = [level[..., 64 // stride :] for level, stride in zip(prior, (2, 4, 8))]
        result = guided.restore_with_prior(img[..., 64:], part)[-1]
        want, whole = guided.forward_with_prior(img)
    assert all(torch.equal(a, b) for a, b in zip(prior, whole))
    torch.testing.assert_close(result[..., 96:], want[-1][..., 160:], atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('restorer', 'seams', 'message'),
    [
        (UNET, ['dec9'], "Seam 'dec9' does not exist in UNet; use one of dec3, dec2, dec1"),
        (UNET, 'dec1', r"seams='dec1' is not a list; write seams=\['dec1'\]"),
        (UNET, ['dec1', 'dec2', 'dec1'], "The list seams contains 'dec1' more than once"),
        (
            NAFNET,
            ['what'],
            r'use one of ending \(stride 1\), decoders.3 \(stride 1\), .*decoders.0',
        ),
        (NAFNET, ['decoders'], r'runs 0 times .* decoders.2 \(stride 2\)'),
        (UNET, [dict(name='dec1', depth=1)], r'; write a name or dict\(name='),
        (UNET, [dict(name='dec1', level=3)], 'needs level 3, but the prior has only 3 levels'),
        (NAFNET, None, r'NAFNet does not define seams; set seams=\[...\]'),
        (
            NAFNET,
            ['decoder.1'],
            "Module 'decoder.1' does not exist in NAFNet; use one of decoders.1",
        ),
        (
            NAFNET,
            [f'decoders.{i}' for i in range(4)],
            "'decoders.0' at stride 8 needs level 3, .* remove it from seams",
        ),
    ],
)
def test_wrong_seams_are_refused(restorer, seams, message):
    with pytest.raises(ValueError, match=message):
        guide(restorer, seams)


def test_leaked_restorer_arguments_are_refused():
    """A child config without _delete_=True keeps arguments of its base config."""
    with pytest.raises(TypeError, match='num_res'):
        MODELS.build(dict(GUIDED, num_res=8))


def test_unknown_outputs_are_refused():
    with pytest.raises(ValueError, match="outputs='first' is unknown"):
        guide(UNET, outputs='first')


@pytest.mark.slow
def test_guided_nafnet_inside_a_plain_base_edit_model():
    """MMagic's own model works with outputs='last'."""
    from mmagic.structures import DataSample

    import mmspd.models  # noqa: F401  (imports MMagic with its registry)

    model = MODELS.build(
        dict(
            type='mmagic.BaseEditModel',
            _scope_='mmagic',
            generator=dict(
                GUIDED, restorer=NAFNET, seams=['decoders.2', 'decoders.3'], outputs='last'
            ),
            pixel_loss=dict(type='L1Loss', loss_weight=1.0),
            data_preprocessor=dict(type='DataPreprocessor', mean=[0] * 3, std=[255] * 3),
        )
    )
    sample = DataSample()
    sample.set_tensor_data(dict(gt_img=torch.rand(2, 3, 32, 32)))
    losses = model(torch.rand(2, 3, 32, 32), sample, mode='loss')
    losses['loss'].backward()
    assert model.generator.embedding.fusions['decoders_3'].delta[2].weight.grad is not None


def saved_bytes(network, img):
    """Bytes that a forward pass keeps for the backward pass, without the parameters."""
    storages = {}
    parameters = {p.untyped_storage().data_ptr() for p in network.parameters()}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = network(img)
    assert all(out.requires_grad for out in outputs)
    return sum(storages.values())


def test_with_cp_recomputes_the_prior_and_its_embedding_too():
    plain = MODELS.build(dict(UNET, with_cp=True))
    kept = MODELS.build(dict(GUIDED, with_embedding_cp=False))
    recomputed = MODELS.build(dict(GUIDED, with_cp=True))
    img = image(64, 64)
    alone = saved_bytes(plain, img)
    assert saved_bytes(recomputed, img) - alone < (saved_bytes(kept, img) - alone) / 4


def test_the_embedding_is_recomputed_while_training_by_default():
    kept, recomputed = MODELS.build(dict(GUIDED, with_embedding_cp=False)), MODELS.build(GUIDED)
    randomize(kept)
    recomputed.load_state_dict(kept.state_dict())
    img = image(64, 64)
    alone = saved_bytes(kept.restorer, img)
    added = saved_bytes(kept, img) - alone
    assert saved_bytes(recomputed, img) - alone < 0.75 * added
    assert saved_bytes(recomputed.eval(), img) - alone == added
    gradients = backward(kept, img)
    for name, gradient in backward(recomputed.train(), img).items():
        torch.testing.assert_close(gradient, gradients[name], rtol=1e-4, atol=1e-7)


def test_a_restorer_that_returns_a_tuple_is_guided_as_well():
    class Stages(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, img, fuse=no_fuse):
            first = self.body(fuse('first', img))
            return first, first + img

    guided = guide(Stages())
    assert [out.shape for out in guided(image(32, 48))] == [(1, 3, 32, 48)] * 2
