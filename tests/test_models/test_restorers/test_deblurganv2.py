"""DeblurGAN-v2 against MMagic's generators and an independent functional implementation."""

import functools
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from mmagic.models.editors.deblurganv2 import deblurganv2_generator
from restorer_contract import OwnRestorerContract, guide, image
from torch import nn

from mmspd.errors import UserError
from mmspd.models.layers.compilation import Compiled
from mmspd.models.tiling import TileNetwork, restore_images
from mmspd.registry import build_model

SMALL = dict(type='mmspd.DeblurGANv2', backbone='MobileNetV2', num_filters=8)
ENDS = (0, 2, 4, 7, 11, 16)  # first blocks of the five levels of MobileNetV2, and the end
FIRST_OF_WIDTH = (2, 4, 7, 14)  # blocks with stride 2; blocks 1, 11 and 17 change only the width


def normalize(x, weight=None, bias=None):
    """Normalize each image with its own statistics."""
    images = [F.batch_norm(img, None, None, weight, bias, training=True) for img in x.split(1)]
    return torch.cat(images)


def double(x, factor=2):
    return x.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


@pytest.mark.slow
class TestDeblurGANv2(OwnRestorerContract):
    restorer = SMALL
    official_side = 255  # the network pads the image to 256 pixels
    official_sizes = [
        ({}, 60_929_291, 17.517801312, 2384),
        (dict(backbone='MobileNetV2'), 3_312_707, 2.70860288, 622),
    ]
    bfloat16_tolerance = 0.4  # normalizations enlarge the rounding errors
    # buffers and layers that the official weights contain, but that a test does not use
    unread = ('running_', 'num_batches', *(f'features.{number}.' for number in (16, 17, 18)))

    def reference(self, weights, img, cfg):
        def norm(x, name):
            return normalize(x, *weights.layer(name))

        def depthwise(x, name, stride):
            return F.conv2d(x, weights[f'{name}.weight'], None, stride, 1, groups=x.shape[1])

        def block(x, number):
            """An inverted residual block."""
            name, steps = f'fpn.features.{number}.conv', (0, 3, 6) if number > 1 else (None, 0, 3)
            stride, y = 2 if number in FIRST_OF_WIDTH else 1, x
            if number > 1:
                y = norm(weights.conv(y, f'{name}.0'), f'{name}.1').clamp(0, 6)
            y = depthwise(y, f'{name}.{steps[1]}', stride)
            y = norm(y, f'{name}.{steps[1] + 1}').clamp(0, 6)
            y = norm(weights.conv(y, f'{name}.{steps[2]}'), f'{name}.{steps[2] + 1}')
            return x + y if stride == 1 and x.shape == y.shape else y

        def smooth(x, name):
            return normalize(weights.conv(x, f'{name}.0')).relu()

        height, width = img.shape[2:]
        rows, columns = (max(32 * (side // 32 + 1), 64) for side in (height, width))
        x = y = F.pad(img * 2 - 1, (0, columns - width, 0, rows - height))
        maps = []
        for level, (start, end) in enumerate(zip(ENDS, ENDS[1:])):
            for number in range(start, end):
                if number == 0:
                    y = weights.conv(y, 'fpn.features.0.0', stride=2)
                    y = norm(y, 'fpn.features.0.1').clamp(0, 6)
                else:
                    y = block(y, number)
            maps.append(weights.conv(y, f'fpn.lateral{level}'))
        for number in (1, 2, 3):
            level = 4 - number
            maps[level] = smooth(maps[level] + double(maps[level + 1]), f'fpn.td{number}')
        heads = []
        for number in (4, 3, 2, 1):
            y = weights.conv(maps[number], f'head{number}.block0').relu()
            y = weights.conv(y, f'head{number}.block1').relu()
            heads.append(double(y, 2 ** (number - 1)))
        y = smooth(torch.cat(heads, 1), 'smooth')
        y = smooth(double(y) + maps[0], 'smooth2')
        y = (weights.conv(double(y), 'final').tanh() + x).clamp(-1, 1)
        # the levels are second names of the same weights
        weights.read.update(name for name in weights.state if name.startswith('fpn.enc'))
        weights.read.update(k for k in weights.state if any(part in k for part in self.unread))
        return [(y[..., :height, :width] + 1) / 2]


@functools.cache
def mmagics(backbone):
    """MMagic's generator, built without a download, with weights at unit gain."""
    build = deblurganv2_generator.inceptionresnetv2
    deblurganv2_generator.inceptionresnetv2 = lambda num_classes, pretrained: build(
        num_classes, pretrained=None
    )
    try:
        name = 'FPNMobileNet' if backbone == 'MobileNetV2' else 'FPNInception'
        generator = deblurganv2_generator.DeblurGanV2Generator(name, norm_layer='instance')
    finally:
        deblurganv2_generator.inceptionresnetv2 = build
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in generator.named_parameters():
            if weight.dim() == 4:
                weight.normal_(std=weight[0].numel() ** -0.5)
            elif weight.dim() == 1:
                weight.normal_(std=0.1).add_(0.0 if name.endswith('bias') else 1.0)
    return generator


def officials(img, backbone):
    """The official prediction, for a single image: in training mode, padded with gray."""
    height, width = img.shape[-2:]
    rows, columns = (32 * (side // 32 + 1) for side in (height, width))
    padded = F.pad((img - 0.5) / 0.5, (0, columns - width, 0, rows - height))
    with torch.no_grad():
        return (mmagics(backbone).train()(padded)[..., :height, :width] + 1) / 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ('backbone', 'count'),
    [('MobileNetV2', 2), pytest.param('InceptionResNetV2', 1, marks=pytest.mark.slow)],
)
def test_numbers_are_the_official_ones(backbone, count):
    network = build_model(dict(type='mmspd.DeblurGANv2', backbone=backbone)).eval()
    generator = mmagics(backbone)
    assert list(network.state_dict()) == list(generator.state_dict())
    network.load_state_dict(generator.state_dict())
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.rand(count, 3, 100, 128)
    with torch.no_grad():
        alone, batch = network(images[:1])[0], network(images)[0]
    # PyTorch may sum a batch in another order than a single image
    torch.testing.assert_close(batch[:1], alone, rtol=0, atol=1e-5)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    for img, restored in zip(images.split(1), batch.split(1)):
        torch.testing.assert_close(restored, officials(img, backbone), rtol=0, atol=1e-5)

    network.train().load_state_dict(generator.state_dict())
    crops = torch.rand(count, 3, 128, 128)  # multiples of 32 are not padded
    with torch.no_grad():
        assert torch.equal(network(crops)[0], (generator((crops - 0.5) / 0.5) + 1) / 2)
    pairs = zip(network.state_dict().values(), generator.state_dict().values())
    assert all(torch.equal(a, b) for a, b in pairs)  # also the running statistics


def test_running_statistics_on_request():
    network = build_model(
        dict(type='mmspd.DeblurGANv2', backbone='MobileNetV2', stats='running')
    ).eval()
    generator = mmagics('MobileNetV2').eval()
    network.load_state_dict(generator.state_dict())
    images = torch.rand(2, 3, 63, 95)
    with torch.no_grad():
        expected = generator(F.pad((images - 0.5) / 0.5, (0, 1, 0, 1)))[..., :63, :95]
        assert torch.equal(network(images)[0], (expected + 1) / 2)
    other = build_model(dict(SMALL, stats='image')).eval()
    small = build_model(dict(SMALL, stats='running')).eval()
    small.load_state_dict(other.state_dict())
    assert (small(images)[0] - other(images)[0]).abs().max() > 0.01


def test_synchronized_normalizations_do_not_change_a_test():
    network, img = build_model(SMALL).eval(), image(50, 70)
    with torch.no_grad():
        expected = network(img)[0]
        assert torch.equal(nn.SyncBatchNorm.convert_sync_batchnorm(network)(img)[0], expected)


@pytest.mark.parametrize(('side', 'padded'), [(96, 128), (97, 128), (127, 128), (128, 160)])
def test_an_image_gets_a_gray_border(side, padded):
    network = build_model(SMALL).eval()
    img = image(side, 64)
    border = network.pad(img)
    assert border.shape[2:] == (padded, 96)
    assert torch.equal(border[..., :side, :64], img)
    assert (border[..., side:, :] == 0.5).all()
    assert (border[..., 64:] == 0.5).all()


@pytest.mark.parametrize(
    ('backbone', 'smallest'),
    [('MobileNetV2', 64), pytest.param('InceptionResNetV2', 128, marks=pytest.mark.slow)],
)
def test_small_images_are_padded_to_the_smallest_size_of_the_backbone(backbone, smallest):
    with torch.device('meta'):
        network = build_model(dict(type='mmspd.DeblurGANv2', backbone=backbone))
    for mode, side in ((False, 2), (True, 32)):
        network.train(mode)
        assert network.pad(torch.empty(1, 3, side, side)).shape[2:] == (smallest, smallest)
    network(torch.empty(2, 3, 32, 32, device='meta'))


def test_a_prior_modulates_only_the_part_that_shows_the_image():
    network, seen = build_model(SMALL).eval(), {}

    def fuse(seam, dec):
        seen[seam] = tuple(dec.shape[1:])
        return dec

    img = image(64, 70)
    with torch.no_grad():
        assert torch.equal(network(img, fuse)[0], network(img)[0])
    assert seen == {'td2': (16, 8, 12), 'td3': (16, 16, 24), 'smooth2': (8, 32, 48)}


@pytest.mark.slow
def test_the_prior_enters_at_strides_2_4_and_8():
    guided = guide(SMALL)
    assert guided.embedding.levels == {'td2': 2, 'td3': 1, 'smooth2': 0}
    assert all(fusion.scale == 1 for fusion in guided.embedding.fusions.values())
    assert guided.multiple == 32


def test_a_compiled_network_gets_the_same_border():
    network, img = build_model(SMALL).eval(), image(50, 70)
    with torch.no_grad():
        expected = restore_images(network, img, tile=None)
        with mock.patch('torch.compile', lambda function, **options: function):
            got = restore_images(TileNetwork(network, Compiled(True)), img, tile=None)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def test_unused_layers_are_never_trained():
    network = build_model(SMALL)
    fixed = {n for n, p in network.named_parameters() if not p.requires_grad}
    assert {name.split('.')[2] for name in fixed} == {'16', '17', '18'}
    network.freeze_backbone(True)
    frozen = {n.split('.')[1] for n, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {'features'}  # and enc0 to enc4, its second names
    network.freeze_backbone(False)
    assert fixed == {n for n, p in network.named_parameters() if not p.requires_grad}


@pytest.mark.slow
def test_imagenet_weights_of_the_backbone(tmp_path):
    backbone = build_model(SMALL).fpn.features.state_dict()
    published = {
        f'features.{key}': torch.rand_like(value)
        for key, value in backbone.items()
        if not key.endswith('num_batches_tracked')
    }
    file = tmp_path / 'mobilenet_v2.pth.tar'
    torch.save(dict(published, **{'classifier.1.weight': torch.ones(1000, 1280)}), file)
    network = build_model(dict(SMALL, weights=str(file)))
    network.init_weights()
    loaded = network.state_dict()
    assert all(torch.equal(loaded[f'fpn.{key}'], value) for key, value in published.items())
    assert torch.equal(loaded['fpn.enc0.0.0.weight'], published['features.0.0.weight'])
    del published['features.3.conv.0.weight']
    torch.save(published, file)
    with pytest.raises(UserError, match='weights: .* lacks the tensor features.3.conv.0.weight; '):
        network.init_weights()


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(backbone='ResNet'), "no backbone='ResNet'; use one of InceptionResNetV2, MobileN"),
        (dict(stats='batch'), "no stats='batch'; use 'image' or 'running'"),
    ],
)
def test_wrong_arguments(wrong, message):
    with pytest.raises(UserError, match=message):
        build_model(dict(SMALL, **wrong))
