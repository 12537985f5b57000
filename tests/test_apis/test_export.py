"""Exports give the same results as their networks, at any size."""

import copy
import importlib.util
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from restorer_contract import guide, image, make_small, randomize
from torch import nn

from mmspd.apis.export import Exportable, export_network
from mmspd.errors import UserError
from mmspd.models.layers.any_size import SizeLimits, accept_any_size
from mmspd.registry import build_model, import_sibling

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'spd'

NAFNET = dict(
    type='mmagic.NAFNetLocal', train_size=(1, 3, 32, 32), img_channels=3, mid_channels=4,
    enc_blk_nums=[1], middle_blk_num=1, dec_blk_nums=[1],
)  # fmt: skip

SMALL_PRIOR = dict(
    type='mmspd.SPL',
    extractor=dict(type='mmspd.ConvExtractor', width=4, strides=(2,), num_blocks=(1,)),
    clc=None,
)


@pytest.mark.slow
def test_one_graph_works_for_sizes_on_both_sides_of_a_branch(tmp_path):
    """NAFNetLocal pools locally if the image is larger than its window of 48 pixels."""
    torch.manual_seed(0)
    network = randomize(guide(NAFNET, ['decoders.0'], prior=SMALL_PRIOR))
    sizes = [(20, 31), (35, 70), (80, 64), (97, 101)]
    exported = export_network(network, tmp_path / 'network.pt2', {}, sizes)
    assert max(exported.differences.values()) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_local_means_of_a_large_image_in_half_precision(dtype):
    """The cumulative sums of a large image need more than 16 bits."""
    import_sibling('mmagic')
    from mmagic.models.editors.nafnet.naf_avgpool2d import NAFAvgPool2d

    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = NAFAvgPool2d(kernel_size=[48, 48])

        def forward(self, img):
            return self.pool(img)

    free = dict.fromkeys((2, 3), torch.export.Dim.DYNAMIC)
    example = torch.rand(2, 3, 100, 101, dtype=dtype)
    program = torch.export.export(Exportable(Pooled()), (example,), dynamic_shapes=(free,))
    img = (1 + image(64, 1024, batch=2)).to(dtype)
    expected = Pooled()(img.double()).to(dtype)
    for pooled in (Exportable(Pooled())(img), program.module()(img)):
        torch.testing.assert_close(pooled, expected, rtol=0, atol=2**-7)  # one step of bfloat16


def test_network_is_not_modified():
    network = build_model(dict(type='mmspd.MIMOUNet', base=4, num_res=1, dropout=0.5)).train()
    keys = copy.deepcopy(network.state_dict())
    exportable = Exportable(network)
    assert not exportable.restorer.training
    assert exportable(image()).shape == image().shape
    assert network.training
    assert len(network(image())) == 3
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert keys.keys() == network.state_dict().keys()


def test_padding_is_applied_before_the_network():
    class Multiples(nn.Module):
        def forward(self, x):
            assert x.shape[-2] % 8 == x.shape[-1] % 8 == 0
            return x * 2

    img = image(13, 21)
    assert torch.equal(Exportable(Multiples(), pad_to=8)(img), img * 2)


@pytest.mark.slow
def test_a_recipe_exports_with_its_prior(tmp_path):
    """The first stage of MPRNet cuts the image into halves; docs/export.md exports MIMO-UNet."""
    config = Config.fromfile(CONFIGS / 'mprnet-s1_sp_gopro.py')
    init_default_scope(config.default_scope)
    generator = config.model.generator
    make_small(generator.restorer)
    generator.seams = ['stage1.dec3']
    generator.prior.extractor = dict(type='mmspd.ConvExtractor', width=4, num_blocks=(1, 1, 1))
    network = randomize(build_model(generator))
    path = tmp_path / 'network.onnx'
    exported = export_network(network, path, {}, sizes=[(49, 70)])
    assert exported.differences[49, 70] < 1e-4
    assert path.stat().st_size > 10_000


@pytest.mark.slow
def test_program_of_pytorch(tmp_path):
    network = nn.Conv2d(3, 3, 3, padding=1)
    path = tmp_path / 'network.pt2'
    exported = export_network(network, path, {'config': 'here'}, sizes=[(19, 30), (33, 16)])
    assert list(exported.differences) == [(19, 30), (33, 16)]
    assert exported.seconds is None
    about = {'mmspd.json': ''}
    program = torch.export.load(str(path), extra_files=about)
    assert json.loads(about['mmspd.json']) == {'config': 'here'}
    blurry = torch.rand(3, 3, 41, 58)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(blurry), network(blurry))


@pytest.mark.slow
def test_a_network_that_refuses_sizes_is_padded_in_the_graph(tmp_path):
    layers = nn.Conv2d(3, 3, 4, stride=4), nn.ReflectionPad2d(2), nn.ConvTranspose2d(3, 3, 4, 4)
    network = nn.Sequential(*layers, nn.AvgPool2d(5, 1), nn.ReflectionPad2d((-6, -6, -6, -6)))
    accept_any_size(network)
    assert network.size_limits == SizeLimits(4, 12)
    exported = export_network(network, tmp_path / 'network.onnx', {}, sizes=[(1, 9), (37, 53)])
    assert max(exported.differences.values()) < 1e-5


def test_file_that_differs_is_not_written(tmp_path):
    class Drifting(nn.Module):
        """Returns another result at each call."""

        def forward(self, img):
            return img + torch.rand(1)

    path = tmp_path / 'network.pt2'
    message = r'export differs by 0\.\d+ from the network on an image of 61x75'
    with pytest.raises(UserError, match=message):
        export_network(Drifting(), path, {})
    assert not path.exists()


def test_network_that_branches_on_the_size_is_refused(tmp_path):
    class Deciding(nn.Module):
        def forward(self, img):
            return img * 2 if img.shape[-1] == 229 else img

    message = 'cannot be exported for variable image sizes .*; set --pad-to'
    with pytest.raises(UserError, match=message):
        export_network(Deciding(), tmp_path / 'network.pt2', {})


@pytest.mark.slow
def test_size_that_the_export_does_not_support(tmp_path):
    class Large(nn.Module):
        def forward(self, img):
            return img * 2 if img.shape[-1] > 99 else img

    with pytest.raises(
        UserError, match=r'export fails on an image of 20x20 \((Guard failed|Expected input)'
    ):
        export_network(Large(), tmp_path / 'network.pt2', {}, sizes=[(20, 20)])


@pytest.mark.parametrize(
    ('name', 'options', 'sentence'),
    [
        ('network.pth', {}, 'unknown suffix; use .onnx or .pt2'),
        ('network.pt2', {'opset': 18}, '--opset is only for .onnx files'),
        ('network.onnx', {'opset': 17}, '--opset 17 is not supported; use 18 to 24'),
    ],
)
def test_arguments_that_do_not_fit(tmp_path, name, options, sentence):
    with pytest.raises(UserError, match=sentence):
        export_network(nn.Identity(), tmp_path / name, {}, **options)


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None if 'onnx' in name else 1)
    sentence = 'ONNX export needs .*; run pip install onnx onnxscript onnxruntime'
    with pytest.raises(UserError, match=sentence):
        export_network(nn.Identity(), tmp_path / 'network.onnx', {})
