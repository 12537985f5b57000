"""The networks of the control experiments, and the alignment of levin09."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from prior_study.controls import EncoderUNet
from prior_study.levin09 import align_levin09
from prior_study.release import ReleaseHook

from mmspd.datasets.image_io import read_rgb, write_png
from mmspd.errors import UserError
from mmspd.registry import build_model

BACKBONE = dict(
    type='mmpretrain.ResNet', depth=18, base_channels=4, stem_channels=4, out_indices=(0, 1, 2)
)


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """A file with weights of the backbone."""
    init_default_scope('mmagic')
    torch.manual_seed(1)
    backbone = build_model(BACKBONE)
    path = tmp_path_factory.mktemp('weights') / 'resnet.pth'
    torch.save(dict(state_dict=backbone.state_dict()), path)
    return str(path)


def control(weights, **options):
    extractor = dict(type='mmspd.ControlExtractor', backbone=BACKBONE, weights=weights, width=4)
    torch.manual_seed(2)
    model = build_model(dict(extractor, **options))
    model.init_weights()
    return model.net.backbone.state_dict()


def test_permuted_weights_keep_their_values_within_each_convolution(weights):
    loaded, permuted = control(weights), control(weights, permute=True)
    changed = 0
    for name, value in loaded.items():
        if value.dim() == 4:
            assert torch.equal(value.flatten().sort()[0], permuted[name].flatten().sort()[0])
            changed += not torch.equal(value, permuted[name])
        else:
            assert torch.equal(value, permuted[name])
    assert changed == sum(value.dim() == 4 for value in loaded.values())


def test_only_the_named_stages_keep_the_loaded_weights(weights):
    loaded, partly = control(weights), control(weights, keep=('conv1', 'bn1', 'layer1'))
    convolutions = [name for name, value in loaded.items() if value.dim() == 4]
    same = {name for name in convolutions if torch.equal(loaded[name], partly[name])}
    assert same == {name for name in convolutions if name.startswith(('conv1', 'layer1'))}


def test_the_encoder_of_the_unet_is_the_loaded_backbone(weights):
    model = EncoderUNet(base=4, num_res=1, backbone=BACKBONE, weights=weights, scale=2)
    model.init_weights()
    assert model.strides == (2, 4, 8)
    image = torch.rand(1, 3, 35, 45)
    (restored,) = model(image)
    assert restored.shape == image.shape
    expected = torch.load(weights, weights_only=True)['state_dict']['conv1.weight']
    assert torch.equal(model.encoder.backbone.conv1.weight, expected)
    restored.sum().backward()
    for level in (*model.lateral, model.intro, model.encoder.backbone.conv1):
        assert level.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('flipped', [False, True])
def test_levins_photos_are_aligned_by_their_kernels(flipped, tmp_path):
    rng = np.random.default_rng(0)
    big = rng.integers(0, 256, (140, 140)).astype(np.uint8)
    kernel = np.zeros((9, 9), np.uint8)
    kernel[1, 1:8] = 200
    kernel[1:5, 1] = 90
    sharp = np.repeat(big[20:120, 20:120, None], 3, axis=2)
    # correlation of the photo with the kernel around its corner, so the blur is off the center
    blurry = (
        sum(
            float(kernel[y, x]) * big[20 + y : 120 + y, 20 + x : 120 + x].astype(float)
            for y in range(9)
            for x in range(9)
        )
        / kernel.sum()
    )
    blurry = np.repeat(np.rint(blurry).astype(np.uint8)[..., None], 3, axis=2)
    write_png(tmp_path / 'im1_kernel1_img.png', blurry)
    write_png(tmp_path / 'gt' / 'im1.png', sharp)
    stored = kernel[::-1, ::-1] if flipped else kernel
    write_png(tmp_path / 'gt' / 'kernel1.png', np.repeat(stored[..., None], 3, axis=2))
    assert align_levin09(tmp_path, tmp_path / 'out') == 1
    y, x = np.mgrid[:9, :9]
    center = [round(float((kernel * axis).sum() / kernel.sum())) for axis in (y, x)]
    aligned = read_rgb(tmp_path / 'out' / 'sharp' / 'im1' / 'kernel1.png')
    top, left = 24 + center[0], 24 + center[1]
    assert np.array_equal(aligned, sharp[top : top + 52, left : left + 52])
    for wrong in ('gt', 'missing'):
        with pytest.raises(UserError, match='has no photo im<I>_kernel<K>_img.png'):
            align_levin09(tmp_path / wrong, tmp_path / 'out')


def test_the_weight_of_the_prior_loss_falls_to_zero():
    hook = ReleaseHook(end=0.5)
    loss = SimpleNamespace(loss_weight=0.1)
    weights = []
    for step in (0, 10, 20, 30, 40):
        hook.before_train_iter(
            SimpleNamespace(model=SimpleNamespace(prior_loss=loss), iter=step, max_iters=40), 0
        )
        weights.append(loss.loss_weight)
    assert weights == pytest.approx([0.1, 0.05, 0, 0, 0])
