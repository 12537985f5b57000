import urllib.request

import lpips
import numpy as np
import pytest
import torch
import torchvision
from samples import evaluate, noisy_pair, sample
from torch import nn

from mmspd.errors import UserError
from mmspd.evaluation import LPIPS

SIZE = 48, 61


def layers_of(net):
    """Build torchvision's layers before the classifier, with random weights."""
    build = {'alex': torchvision.models.alexnet, 'vgg': torchvision.models.vgg16}[net]
    with torch.device('meta'):
        layers = build().features[:-1]  # small images do not survive the last pooling
    layers = layers.to_empty(device='cpu')
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            layer.reset_parameters()
    return layers


@pytest.fixture(scope='module', params=['alex', pytest.param('vgg', marks=pytest.mark.slow)])
def backbone(request, tmp_path_factory):
    """Name, layers with random weights, and a metric with the same weights from a file."""
    torch.manual_seed(0)
    layers = layers_of(request.param)
    state = {f'features.{key}': value for key, value in layers.state_dict().items()}
    state['classifier.1.weight'] = torch.zeros(2, 2)  # torchvision's file has it too
    path = tmp_path_factory.mktemp('weights') / f'{request.param}.pth'
    torch.save(state, path)
    return request.param, layers, LPIPS(request.param, str(path))


def reference(net, layers, first, second):
    """Compute the distance of 8-bit RGB images by the lpips package with these layers."""
    network = lpips.LPIPS(net=net, version='0.1', pnet_rand=True, verbose=False).eval()
    own = [layer for layer in network.net.modules() if isinstance(layer, nn.Conv2d)]
    for layer, trained in zip(own, [layer for layer in layers if isinstance(layer, nn.Conv2d)]):
        layer.load_state_dict(trained.state_dict())
    images = (torch.tensor(image).permute(2, 0, 1)[None] / 255 for image in (first, second))
    return network(*images, normalize=True).item()


@pytest.mark.slow
@torch.no_grad()
def test_equals_the_package(backbone):
    net, layers, metric = backbone
    pairs = [noisy_pair(seed, SIZE, sigma) for seed, sigma in ((0, 4), (1, 60))]
    state = torch.get_rng_state()
    means = evaluate(metric, [sample(second, first) for first, second in pairs])
    assert torch.equal(torch.get_rng_state(), state)
    name = f'LPIPS-{net}-v0.1'
    values = [image[name] for image in metric.per_image]
    assert means == {name: pytest.approx(np.mean(values))}
    expected = [reference(net, layers, *pair) for pair in pairs]
    np.testing.assert_allclose(values, expected, rtol=1e-4)
    assert min(values) > 1e-4


def test_it_is_zero_for_equal_images_and_frozen(backbone):
    net, _, metric = backbone
    image, _ = noisy_pair(0, SIZE)
    seen = set()

    def record(module, inputs):
        seen.add(torch.backends.cudnn.allow_tf32)

    with nn.modules.module.register_module_forward_pre_hook(record):
        assert evaluate(metric, [sample(image, image)]) == {f'LPIPS-{net}-v0.1': 0.0}
    assert seen == {False}  # the numbers do not depend on the device
    network = metric._network
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    metric.process(None, [sample(image, image)])
    assert metric._network is network


def test_smallest_images(backbone):
    net, _, metric = backbone
    side = {'alex': 31, 'vgg': 16}[net]
    first, second = noisy_pair(0, (side, 40))
    assert metric.measure(sample(second, first))[f'LPIPS-{net}-v0.1'] > 0
    with pytest.raises(UserError, match=f'at least {side}x{side} pixels, not 40x{side - 1}'):
        metric.measure(sample(second[1:], first[1:]))


@pytest.mark.slow
def test_errors(tmp_path, monkeypatch):
    pair = sample(*noisy_pair(0, SIZE))
    with pytest.raises(UserError, match="net='squeeze' is unknown; use one of alex, vgg"):
        LPIPS('squeeze')
    with pytest.raises(UserError, match=r'LPIPS weights: the file .*none.pth does not exist'):
        LPIPS('alex', str(tmp_path / 'none.pth')).measure(pair)
    other = {'features.0.weight': torch.zeros(1)}
    torch.save(other, tmp_path / 'other.pth')
    with pytest.raises(UserError, match=r'lacks 9 tensors, such as features.0.bias.* alexnet-owt'):
        LPIPS('alex', str(tmp_path / 'other.pth')).measure(pair)
    shapes = {f'features.{key}': torch.zeros(1) for key in layers_of('alex').state_dict()}
    torch.save(shapes, tmp_path / 'shapes.pth')
    with pytest.raises(UserError, match='10 of another shape'):
        LPIPS('alex', str(tmp_path / 'shapes.pth')).measure(pair)

    def offline(*args, **kwargs):
        raise OSError('no network')

    monkeypatch.setenv('MMSPD_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(urllib.request.OpenerDirector, 'open', offline)
    with pytest.raises(UserError, match=r'LPIPS weights: alexnet.* cannot be downloaded'):
        LPIPS('alex').measure(pair)
