"""SRN and PSS-NSC against facts of the official codes and independent functional computations."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import PolyLR
from restorer_contract import OwnRestorerContract, guide, image

from mmspd.errors import UserError
from mmspd.models.layers.gray import rgb_to_gray
from mmspd.models.seams import no_fuse
from mmspd.registry import build_model
from mmspd.utils.launch import read_config

SRN = dict(type='mmspd.SRN', base=4, num_res=1)
PSSNSC = dict(type='mmspd.PSSNSC', base=4, num_res=1)
BOTH = pytest.mark.parametrize('restorer', [SRN, PSSNSC], ids=['srn', 'pssnsc'])


def double(x):
    """Interleave the pixels with the means of neighbors; the last pixel is repeated."""
    for dim in (2, 3):
        following = torch.cat([x.narrow(dim, 1, x.shape[dim] - 1), x.narrow(dim, -1, 1)], dim)
        x = torch.stack([x, (x + following) / 2], dim + 1).flatten(dim, dim + 1)
    return x


def shrink(x):
    """Convolve with stride 2: every second output of stride 1, from the second row and column."""
    return x[:, :, 1::2, 1::2]


def planes(img):
    return torch.stack([plane for one in img for plane in one])[:, None]


def joined(planes):
    return planes.view(-1, 3, *planes.shape[-2:])


def pyramid(img):
    return img[..., ::4, ::4], img[..., ::2, ::2], img


def residual(weights, x, name):
    return x + weights.conv(weights.conv(x, f'{name}.conv1').relu(), f'{name}.conv2')


@pytest.mark.slow
class TestSRN(OwnRestorerContract):
    restorer = dict(SRN, variant='lstm')
    small = SRN  # the recipes keep their variant
    num_outputs = 3
    official_sizes = [
        ({}, 8_056_609, 268.30, 86),
        (dict(variant='gray'), 6_876_449, 249.27, 84),
        (dict(variant='color'), 6_881_251, 83.50, 84),
    ]
    variants = (dict(num_res=3), dict(variant='gray'), dict(variant='color'))

    def reference(self, weights, img, cfg):
        def net(x, scale_state):
            def encode(x, level):
                for number in range(2, cfg['num_res'] + 2):
                    x = residual(weights, x, f'enc{level}_{number}')
                return x

            def decode(x, level):
                for number in range(cfg['num_res'], 0, -1):
                    x = residual(weights, x, f'dec{level}_{number}')
                return x

            enc1 = encode(weights.conv(x, 'enc1_1').relu(), 1)
            enc2 = encode(shrink(weights.conv(enc1, 'enc2_1')).relu(), 2)
            x = encode(shrink(weights.conv(enc2, 'enc3_1')).relu(), 3)
            if cfg['variant'] == 'lstm':
                c, h = scale_state or (x * 0, x * 0)
                i, j, f, o = weights.conv(torch.cat([x, h], 1), 'convLSTM.LSTM_conv').split(
                    x.shape[1], 1
                )
                c = c * torch.sigmoid(f + 1.0) + torch.sigmoid(i) * torch.tanh(j)
                x = torch.tanh(c) * torch.sigmoid(o)
                scale_state = double(c), double(x)
            x = decode(x, 3)
            x = decode(weights.deconv(x, 'dec2_4').relu() + enc2, 2)
            x = decode(weights.deconv(x, 'dec1_4').relu() + enc1, 1)
            return weights.conv(x, 'dec1_0'), scale_state

        color = cfg['variant'] == 'color'
        guess, state, outputs = None, None, []
        for blurry in pyramid(img if color else planes(img)):
            guess = blurry if guess is None else double(guess)
            guess, state = net(torch.cat([blurry, guess], 1), state)
            outputs.append(guess if color else joined(guess))
        return outputs


@pytest.mark.slow
class TestPSSNSC(OwnRestorerContract):
    restorer = PSSNSC
    num_outputs = 3
    variants = ({}, dict(num_res=4))
    official_sizes = [({}, 3_871_715, 235.13, 132)]

    def reference(self, weights, img, cfg):
        def twice(x, name):
            for part in 2 * [*range(cfg['num_res'])]:
                x = residual(weights, x, f'{name}.d{part + 1}')
            return x

        def down(x, name):
            """The padding of a 3x3 kernel of stride 2: none at the start, one pixel at the end."""
            weight, bias = weights.layer(name)
            return F.conv2d(F.pad(x, (0, 1, 0, 1)), weight, bias, 2).relu()

        guess, outputs = None, []
        for scale, blurry in enumerate(pyramid(planes(img))):
            guess = blurry if guess is None else double(guess)
            x = torch.cat([blurry, guess], 1)
            enc1 = twice(weights.conv(x, f'enc1_1_{scale}').relu(), 'enc1_2')
            enc2 = twice(down(enc1, f'enc2_1_{scale}'), 'enc2_2')
            x = twice(twice(down(enc2, f'enc3_1_{scale}'), 'enc3_2'), 'dec3_2')
            x = twice(weights.deconv(x, f'dec2_3_{scale}').relu() + enc2, 'dec2_2')
            x = twice(weights.deconv(x, f'dec1_3_{scale}').relu() + enc1, 'dec1_2')
            guess = weights.conv(x, f'dec1_0_{scale}') + blurry
            outputs.append(joined(guess))
        return outputs


def test_initial_weights_of_srn():
    torch.manual_seed(0)
    network = build_model(dict(type='mmspd.SRN'))
    for name, weight in network.named_parameters():
        if name.endswith('bias'):
            assert not weight.any()
        elif name == 'convLSTM.LSTM_conv.weight':
            assert weight.abs().max() <= 2e-3
            assert weight.std().item() == pytest.approx(0.88e-3, rel=0.01)  # cut at two deviations
        else:
            bound = (6 / (weight[0, 0].numel() * sum(weight.shape[:2]))) ** 0.5
            assert weight.abs().max() <= bound
            assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_initial_weights_of_pssnsc():
    torch.manual_seed(0)
    network = build_model(dict(type='mmspd.PSSNSC'))
    for name, weight in network.named_parameters():
        if name.endswith('bias'):
            assert not weight.any()
        else:
            assert weight.abs().max() <= 0.04
            assert weight.std().item() == pytest.approx(0.0176, rel=0.1)
    img = image(16, 16)
    with torch.no_grad():
        assert (network(img)[-1] - img).abs().max() < 0.1


@BOTH
def test_the_gradient_stops_between_the_scales(restorer):
    """The result of a scale gives no gradient to the weights of the scale before."""
    torch.manual_seed(0)
    cfg = dict(restorer, variant='gray') if restorer is SRN else restorer
    network = build_model(cfg).double()
    img = image(16, 16).double()
    gradients = []

    def stopped(scale, blurry, guess, state, fuse, restore=network.restore_scale):
        assert not guess.requires_grad
        gradients.append(scale)
        return restore(scale, blurry, guess, state, fuse)

    network.restore_scale = stopped
    network(img)
    assert gradients == [0, 1, 2]


def test_the_gradient_flows_through_the_state_of_the_lstm():
    torch.manual_seed(0)
    network = build_model(SRN)
    states = []

    def recorded(scale, blurry, guess, state, fuse, restore=network.restore_scale):
        result, state = restore(scale, blurry, guess, state, fuse)
        states.append(state)
        return result, state

    network.restore_scale = recorded
    last = network(image(16, 32))[-1]
    cell, hidden = states[0]
    assert cell.shape == (3, 16, 1, 2)
    assert states[2][0].shape == (3, 16, 4, 8)
    for part in (cell, hidden):
        assert torch.autograd.grad(last.sum(), part, retain_graph=True)[0].abs().sum() > 0


@BOTH
def test_planes_are_restored_independently_and_in_their_order(restorer):
    torch.manual_seed(0)
    network = build_model(restorer).eval()
    img = image(32, 32, batch=2)
    with torch.no_grad():
        together = network(img)[-1]
        for number in range(2):
            for plane in range(3):
                alone = img[number : number + 1, plane : plane + 1].expand(-1, 3, -1, -1)
                got = network(alone)[-1][0, plane]
                torch.testing.assert_close(got, together[number, plane], rtol=0, atol=1e-6)


@BOTH
def test_gray_training(restorer):
    """In training mode the network restores one gray plane; it is tested with three planes."""
    torch.manual_seed(0)
    network = build_model(dict(restorer, gray_training=True)).train()
    img = image(32, 48, batch=2)
    with torch.no_grad():
        outputs = network(img)
        assert [tuple(out.shape) for out in outputs] == [
            (2, 1, 8, 12),
            (2, 1, 16, 24),
            (2, 1, 32, 48),
        ]
        network.eval()
        gray = network(rgb_to_gray(img).expand(-1, 3, -1, -1))[-1]
        torch.testing.assert_close(outputs[-1], gray[:, :1], rtol=0, atol=1e-6)
        assert network(img)[-1].shape == (2, 3, 32, 48)
        plain = build_model(restorer).train()
        plain.load_state_dict(network.state_dict())
        assert torch.equal(plain(img)[-1], network(img)[-1])


@BOTH
def test_other_sizes_are_padded_by_repeating_the_edge(restorer):
    network = build_model(dict(restorer, outputs='last')).eval()
    img = image(20, 30)
    padded = F.pad(img, (0, 2, 0, 12), mode='replicate')
    with torch.no_grad():
        assert torch.equal(network(img), network(padded)[..., :20, :30])


@BOTH
def test_the_prior_of_an_image_goes_to_its_planes(restorer):
    torch.manual_seed(0)
    guided = guide(restorer).eval()
    with torch.no_grad():
        for parameter in guided.embedding.parameters():
            parameter.normal_(std=0.1)
        imgs = image(32, 32, batch=2)
        together = guided(imgs)[-1]
        for number in range(2):
            alone = guided(imgs[number : number + 1])[-1]
            torch.testing.assert_close(together[number], alone[0], rtol=0, atol=1e-5)
        assert (guided.restorer(imgs)[-1] - together).abs().max() > 1e-3


@BOTH
def test_seams_belong_to_the_last_scale(restorer):
    seen = {}

    def record(seam, dec):
        seen[seam] = tuple(dec.shape)
        return dec

    build_model(restorer)(image(32, 64, batch=2), record)
    assert seen == dict(dec3=(6, 16, 8, 16), dec2=(6, 8, 16, 32), dec1=(6, 4, 32, 64))
    color = build_model(dict(SRN, variant='color'))
    color(image(32, 64), lambda seam, dec: no_fuse(seam, seen.setdefault(seam + 'c', dec)))
    assert len(seen['dec3c']) == 1


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        (dict(variant='rgb'), "SRN has variant='rgb'; use 'lstm', 'gray' or 'color'."),
        (dict(variant='color', gray_training=True), "variant='color' needs color images; remove"),
    ],
)
def test_wrong_arguments(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        build_model(dict(SRN, **changes))


@pytest.mark.parametrize(('recipe', 'epochs'), [('srn_gopro', 4000), ('pssnsc_sp_gopro', 8000)])
def test_official_learning_rate(recipe, epochs):
    """1e-4 * (1 - step / steps)^0.3, with 131 steps per epoch."""
    cfg = read_config(recipe, {})
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.train_dataloader.drop_last
    steps = 2103 // cfg.train_dataloader.batch_size * epochs
    adam = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))], cfg.optim_wrapper.optimizer.lr)
    options = {key: cfg.param_scheduler[key] for key in ('power', 'eta_min')}
    schedule = PolyLR.build_iter_from_epoch(adam, epoch_length=131, end=epochs, **options)
    for step in range(1000):
        expected = 1e-4 * (1 - step / steps) ** 0.3
        assert adam.param_groups[0]['lr'] == pytest.approx(expected, rel=1e-8)
        schedule.step()
    assert schedule.total_iters == steps - 1  # the last step has a rate of 0
