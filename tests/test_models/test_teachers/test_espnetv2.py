"""ESPNetv2: the tensors of its published files, its units and its classes of real photos."""

import hashlib

import pytest
import torch
import torch.nn.functional as F
from restorer_contract import check_every_block_is_visible
from unit_gain import unit_gain

from mmspd.registry import build_model

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
PERSON, CAT = 15, 8  # classes of PASCAL VOC


def network(num_classes=21, width_multiplier=2.0, seed=0):
    torch.manual_seed(seed)
    cfg = dict(type='mmspd.ESPNetv2', num_classes=num_classes, width_multiplier=width_multiplier)
    return build_model(cfg).eval()


def test_names_and_shapes_equal_the_published_files():
    """The digest is of the sorted lines ``name (shape)``."""
    lines = sorted(f'{key} {tuple(value.shape)}' for key, value in network().state_dict().items())
    assert len(lines) == 526
    digest = hashlib.sha256('\n'.join(lines).encode()).hexdigest()
    assert digest == 'd1a1811ff0696286c0bba8ac48461a4083dca0ad4b63af898ec8a1bb1fedd8f4'


@pytest.mark.slow
def test_person_and_cat_are_recognized(shared_data):
    from skimage import data
    from skimage.transform import resize

    net = network()
    file = shared_data / 'data' / 'seg' / 'espnetv2' / 'espnetv2_s_2.0_pascal_384x384.pth'
    net.load_state_dict(torch.load(file, map_location='cpu', weights_only=True))
    photos = [
        resize(photo, (384, 384), anti_aliasing=True)
        for photo in (data.astronaut(), data.chelsea())
    ]
    batch = torch.stack([torch.from_numpy(photo).permute(2, 0, 1).float() for photo in photos])
    with torch.no_grad():
        classes = net((batch - MEAN) / STD).argmax(1)
    astronaut, chelsea = classes
    # the upper body fills the middle of the lower half; the flag and the shuttle are no person
    assert (astronaut[230:300, 100:200] == PERSON).float().mean() > 0.95
    assert 0.3 < (astronaut == PERSON).float().mean() < 0.55
    assert (astronaut[:150, :80] == PERSON).float().mean() < 0.05
    assert (chelsea[100:250, 100:250] == CAT).float().mean() > 0.99
    assert 0.6 < (chelsea == CAT).float().mean() < 0.9
    assert (chelsea[:100, 330:] == CAT).float().mean() < 0.05


def test_the_unit_sums_up_its_branches():
    """The unit is written out: reduction, sums of dilated convolutions, expansion, input, PReLU."""
    unit = unit_gain(network().base_net.level4[0].double())
    x = torch.randn(1, 512, 9, 10, dtype=torch.float64)

    def normalize(values, norm):
        running = norm.running_mean, norm.running_var
        return F.batch_norm(values, *running, norm.weight, norm.bias, eps=norm.eps)

    with torch.no_grad():
        reduced = F.conv2d(x, unit.proj_1x1.conv.weight, groups=4)
        reduced = F.prelu(normalize(reduced, unit.proj_1x1.bn), unit.proj_1x1.act.weight)
        total, ranges = 0, []
        for branch, dilation in zip(unit.spp_dw, (1, 1, 2, 3)):  # deep levels have no dilation 4
            options = dict(padding=dilation, dilation=dilation, groups=reduced.shape[1])
            total = total + F.conv2d(reduced, branch.conv.weight, **options)
            ranges.append(total)
        merged = normalize(torch.cat(ranges, 1), unit.br_after_cat.bn)
        merged = F.prelu(merged, unit.br_after_cat.act.weight)
        expanded = F.conv2d(merged, unit.conv_1x1_exp.conv.weight, groups=4)
        want = F.prelu(normalize(expanded, unit.conv_1x1_exp.bn) + x, unit.module_act.weight)
        torch.testing.assert_close(unit(x), want, rtol=1e-12, atol=1e-12)
    check_every_block_is_visible(unit, x)


@pytest.mark.parametrize('size', [(64, 96), (35, 45), (1, 3)])
def test_any_size(size):
    with torch.no_grad():
        logits = network(5, 0.5)(torch.rand(2, 3, *size))
    assert logits.shape == (2, 5, *size)
    assert torch.isfinite(logits).all()


def test_the_backbone_is_the_segmentors_encoder():
    net = network(5, 0.5)
    backbone = build_model(
        dict(type='mmspd.ESPNetv2Backbone', width_multiplier=0.5, out_indices=(0, 2))
    ).eval()
    encoder = {key: value for key, value in net.state_dict().items() if key.startswith('base_net.')}
    kept = {key: value for key, value in encoder.items() if 'level4' not in key}
    backbone.load_state_dict(kept, strict=True)  # the deepest level is not built
    img = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        levels, features = net.base_net(img), backbone(img)
    assert [feature.shape for feature in features] == [(1, 16, 32, 48), (1, 64, 8, 12)]
    assert torch.equal(features[0], levels[0])
    assert torch.equal(features[1], levels[2])


def test_every_trainable_tensor_gets_a_gradient():
    """DistributedDataParallel fails on trainable tensors without a gradient."""
    net = network(5, 0.5)
    net(torch.rand(1, 3, 64, 64)).square().mean().backward()
    trainable = {name: p for name, p in net.named_parameters() if p.requires_grad}
    assert len(trainable) == len(list(net.parameters())) - 3  # one PReLU per strided unit
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trainable.values())


@pytest.mark.parametrize('out_indices', [(), (0, 4)])
def test_unknown_levels_are_refused(out_indices):
    with pytest.raises(ValueError, match='is invalid; use one or more of 0, 1, 2 and 3'):
        build_model(dict(type='mmspd.ESPNetv2Backbone', out_indices=out_indices))
