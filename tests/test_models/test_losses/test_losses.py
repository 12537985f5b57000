"""Equations 2, 4 and 8, and MIMO-UNet's frequency loss, against independent computations."""

import copy
import pickle
import urllib.request

import numpy as np
import pytest
import torch

from mmspd.registry import MODELS, build_model


def pool(x, k):
    """Average pooling by a factor, with a reshape."""
    n, c, h, w = x.shape
    return x[..., : h // k * k, : w // k * k].reshape(n, c, h // k, k, w // k, k).mean((3, 5))


def features(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize('reading', ['mse', 'literal', 'reviewkd'])
def test_eq2_readings(reading):
    m, f_gt = features(2, 5, 16, 24), features(2, 5, 16, 24, seed=1)
    got = MODELS.build(dict(type='mmspd.HCLLoss', reading=reading))(m, f_gt)
    if reading == 'mse':
        want = sum(((pool(m, k) - pool(f_gt, k)) ** 2).mean() for k in (1, 2, 4))
    elif reading == 'literal':
        norms = [
            sum((pool(m[i : i + 1], k) - pool(f_gt[i : i + 1], k)).norm() for k in (1, 2, 4))
            for i in range(2)
        ]
        want = sum(norms) / 2 / (16 * 24)
    else:
        want = ((m - f_gt) ** 2).mean()
        for size, weight in ((4, 0.5), (2, 0.25), (1, 0.125)):
            d = (m - f_gt).reshape(2, 5, size, 16 // size, size, 24 // size).mean((3, 5))
            want = want + weight * (d**2).mean()
        want = want / 1.875
    assert got.item() == pytest.approx(want.item(), rel=1e-5)


def test_hcl_factors():
    m, f_gt = features(1, 2, 8, 8), features(1, 2, 8, 8, seed=1)
    got = MODELS.build(dict(type='mmspd.HCLLoss', factors=(2,)))(m, f_gt)
    assert got.item() == pytest.approx(((pool(m, 2) - pool(f_gt, 2)) ** 2).mean().item(), rel=1e-5)
    small = MODELS.build(dict(type='mmspd.HCLLoss'))(m[..., :2, :2], f_gt[..., :2, :2])
    assert torch.isfinite(small)


def test_eq4_mean_over_levels_times_beta():
    loss = build_model(
        dict(type='mmspd.PriorDistillationLoss', normalize=False, loss_weight=0.3),
        prior_channels=(4, 3),
        teacher_channels=(7, 5),
    ).double()
    f_pri = [features(2, 4, 8, 8), features(2, 3, 4, 4)]
    f_gt = [features(2, 7, 8, 8, seed=1), features(2, 5, 4, 4, seed=1)]
    levels = []
    for head, own, target in zip(loss.heads, f_pri, f_gt):
        mapped = torch.einsum('oi,nihw->nohw', head.weight[:, :, 0, 0], own)
        mapped = mapped + head.bias.view(1, -1, 1, 1)
        levels.append(sum(((pool(mapped, k) - pool(target, k)) ** 2).mean() for k in (1, 2, 4)))
    assert loss(f_pri, f_gt).item() == pytest.approx(0.3 * sum(levels).item() / 2, rel=1e-5)


def test_hcl_refuses_different_shapes_and_unknown_readings():
    with pytest.raises(ValueError, match='set prior.extractor.strides to the strides'):
        MODELS.build(dict(type='mmspd.HCLLoss'))(features(1, 2, 8, 8), features(1, 2, 4, 4))
    with pytest.raises(ValueError, match="reading='l2' is unknown"):
        MODELS.build(dict(type='mmspd.HCLLoss', reading='l2'))
    with pytest.raises(ValueError, match='has 2 levels, but teacher.channels has 3'):
        build_model(
            dict(type='mmspd.PriorDistillationLoss', normalize=False),
            prior_channels=(4, 4),
            teacher_channels=(7, 5, 3),
        )


@pytest.mark.parametrize('size', [(16, 16), (15, 21), (14, 9), (7, 32)])
def test_frequency_loss_is_mimo_unets(size):
    """Full unnormalized spectrum, real and imaginary parts stacked, mean absolute difference."""
    pred, target = torch.rand(2, 2, 3, *size)
    spectra = [np.fft.fft2(x.numpy().astype(np.float64)) for x in (pred, target)]
    stacked = [np.stack([s.real, s.imag], -1) for s in spectra]
    want = 0.1 * np.abs(stacked[0] - stacked[1]).mean()
    got = MODELS.build(dict(type='mmspd.FrequencyLoss'))(pred, target)
    assert got.item() == pytest.approx(want, rel=1e-5)


def test_frequency_loss_stays_in_float32_under_autocast():
    pred = torch.rand(1, 3, 20, 12, requires_grad=True)
    target = torch.rand(1, 3, 20, 12)
    loss = MODELS.build(dict(type='mmspd.FrequencyLoss', loss_weight=1.0))
    want = loss(pred, target).item()
    with torch.autocast('cpu', torch.bfloat16):
        got = loss(pred, target)
    assert got.dtype == torch.float32
    assert got.item() == want
    got.backward()
    assert torch.isfinite(pred.grad).all()


@pytest.fixture
def vgg_file(tmp_path):
    """VGG-19 up to its third block: a file in torchvision's layout and the network."""
    from torchvision.models import vgg

    torch.manual_seed(0)
    features = vgg.make_layers(vgg.cfgs['E'])[:17]
    torch.save(features.state_dict(prefix='features.'), tmp_path / 'vgg19.pth')
    return tmp_path / 'vgg19.pth', features


@pytest.mark.slow
def test_eq8_vgg_loss(vgg_file):
    path, features = vgg_file
    loss = build_model(dict(type='mmspd.VGGLoss', weights=str(path)))
    pred, target = torch.rand(2, 1, 3, 32, 32)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    phi = features[:15]  # up to the third convolution of the third block, without its ReLU
    with torch.no_grad():
        want = ((phi((pred - mean) / std) - phi((target - mean) / std)) ** 2).mean()
    assert loss(pred, target).item() == pytest.approx(0.01 * want.item(), rel=1e-5)
    convs = [layer.out_channels for layer in phi if isinstance(layer, torch.nn.Conv2d)]
    assert convs == [64, 64, 128, 128, 256, 256, 256]


def test_vgg_is_no_part_of_the_model():
    loss = build_model(dict(type='mmspd.VGGLoss', weights='random'))
    pred = torch.rand(1, 3, 16, 16, requires_grad=True)
    loss(pred, torch.rand(1, 3, 16, 16)).backward()
    assert pred.grad.abs().sum() > 0
    assert not list(loss.parameters())
    assert not loss.state_dict()
    assert copy.deepcopy(loss)._vgg is loss._vgg
    assert len(pickle.dumps(loss)) < 10_000


def test_vgg_errors(tmp_path, monkeypatch):
    def first_use(**kwargs):
        build_model(dict(type='mmspd.VGGLoss', **kwargs)).init_weights()

    message = r'VGGLoss weights .*: the file .*nothing.pth does not exist'
    with pytest.raises(ValueError, match=message):
        first_use(weights=str(tmp_path / 'nothing.pth'))
    torch.save({'features.0.weight': torch.ones(1)}, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r'lacks 13 tensors, such as features.0.bias'):
        first_use(weights=str(tmp_path / 'other.pth'))

    def offline(*args, **kwargs):
        raise OSError('no network')

    monkeypatch.setenv('MMSPD_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(urllib.request.OpenerDirector, 'open', offline)
    MODELS.build(dict(type='mmspd.VGGLoss'))  # no weights are needed here
    with pytest.raises(ValueError, match=r'vgg19-dcbb9e9d.pth cannot be downloaded'):
        first_use()


def test_normalized_features_have_equal_weight_at_any_scale():
    prior = [features(2, 4, 8, 8).float()]
    f_gt = [features(2, 3, 8, 8, seed=1).float() + 2]
    loss = build_model(
        dict(type='mmspd.PriorDistillationLoss', normalize=True, loss_weight=1.0),
        prior_channels=(4,),
        teacher_channels=(3,),
    )
    got = loss(prior, f_gt)
    mean, std = f_gt[0].mean((0, 2, 3), keepdim=True), f_gt[0].std((0, 2, 3), keepdim=True)
    target = (f_gt[0] - mean) / std
    student = torch.nn.functional.conv2d(prior[0], loss.heads[0].weight, loss.heads[0].bias)
    want = sum(((pool(student, k) - pool(target, k)) ** 2).mean() for k in (1, 2, 4))
    assert got.item() == pytest.approx(want.item(), rel=0.01)  # biased and unbiased std differ
    assert loss(prior, [f_gt[0] * 50 - 7]).item() == pytest.approx(got.item(), rel=1e-4)


@pytest.mark.parametrize(('size', 'teacher'), [((8, 12), (4, 6)), ((9, 7), (5, 4))])
def test_a_prior_of_smaller_strides_is_pooled(size, teacher):
    """The teacher rounds its sizes up, so the last cells of odd sides hold fewer positions."""
    prior, f_gt = features(2, 4, *size), features(2, 3, *teacher, seed=1)
    loss = build_model(
        dict(type='mmspd.PriorDistillationLoss', normalize=False, loss_weight=1.0),
        prior_channels=(4,),
        teacher_channels=(3,),
    ).double()
    cells = prior.new_empty(2, 4, *teacher)
    for y in range(teacher[0]):
        for x in range(teacher[1]):
            cells[..., y, x] = prior[..., 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean((2, 3))
    head = loss.heads[0]
    student = torch.nn.functional.conv2d(cells, head.weight, head.bias)
    want = sum(((pool(student, k) - pool(f_gt, k)) ** 2).mean() for k in (1, 2, 4))
    assert loss([prior], [f_gt]).item() == pytest.approx(want.item(), rel=1e-5)
    torch.testing.assert_close(loss.project([prior], [f_gt])[0], student)


def test_a_normalized_prior_is_projected_to_the_scale_of_the_teacher():
    f_gt = features(2, 3, 8, 8, seed=1).float() * 5 + 2
    loss = build_model(
        dict(type='mmspd.PriorDistillationLoss', normalize=True),
        prior_channels=(3,),
        teacher_channels=(3,),
    )
    for _ in range(200):  # until the running averages equal those of the batch
        loss([f_gt], [f_gt])
    with torch.no_grad():
        loss.heads[0].weight.copy_(torch.eye(3)[..., None, None])
        loss.heads[0].bias.zero_()
    (got,) = loss.project([loss.norms[0].eval()(f_gt)], [f_gt])
    torch.testing.assert_close(got, f_gt, rtol=1e-4, atol=1e-4)


def test_the_pixel_loss_of_deblurganv2():
    """On images normalized for ImageNet; about 19 times the loss on images in [0, 1]."""
    pred, target = features(2, 3, 8, 8), features(2, 3, 8, 8, seed=1)
    std = (0.229, 0.224, 0.225)
    want = sum(((pred - target)[:, c] ** 2).mean() / std[c] ** 2 for c in range(3)) / 3
    loss = build_model(dict(type='mmspd.ImageNetMSELoss', loss_weight=0.5)).double()
    assert loss(pred, target).item() == pytest.approx(0.5 * want.item(), rel=1e-6)
    assert want / ((pred - target) ** 2).mean() == pytest.approx(19.5, abs=0.5)
    assert not loss.state_dict()
