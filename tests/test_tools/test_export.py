"""tools/deployment/export.py and mmspd.apis.export."""

import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from restorer_contract import make_small

from mmspd.apis import export
from mmspd.apis.model import init_model
from mmspd.errors import UserError
from mmspd.registry import build_model

ROOT = Path(__file__).resolve().parents[2]

SMALL_GUIDED = """
model = dict(generator=dict(
    _delete_=True, type='mmspd.SemanticGuided', seams=['dec1'],
    restorer=dict(type='mmspd.UNet', base=4, num_res=1),
    prior=dict(
        type='mmspd.SPL', clc=None,
        extractor=dict(type='mmspd.ConvExtractor', width=4, strides=(8,), num_blocks=(1,))),
    embedding=dict(type='mmspd.SPE')))
"""


@pytest.fixture
def plain():
    torch.manual_seed(0)
    return build_model(dict(type='mmspd.UNet', base=4, num_res=1))


@pytest.mark.slow
def test_onnx_file_restores_without_mmspd(write_config, run_tool, tmp_path):
    base = write_config()
    config = tmp_path / 'guided.py'
    config.write_text(f'_base_ = r"{base}"\n' + SMALL_GUIDED)
    model = init_model(config)
    torch.manual_seed(0)
    for parameter in model.generator.embedding.parameters():
        torch.nn.init.normal_(parameter, std=0.2)  # a prior that has learned something
    weights = tmp_path / 'weights.pth'
    torch.save(model.state_dict(), weights)

    code, output = run_tool(
        'deployment/export.py', config, weights, tmp_path / 'network.onnx', '--sizes', '31x42',
        '33x17', '--opset', '18', '--time', '16x24',
    )  # fmt: skip
    assert code == 0, output
    assert re.search(r'^33x17: differs by at most \d\.\de-0[5-9]', output, re.MULTILINE)
    assert re.search(r'16x24 on 1 CPU threads: network .* s, file .* s', output)

    network = onnx.load(tmp_path / 'network.onnx')
    about = {entry.key: entry.value for entry in network.metadata_props}
    assert about['weights_sha256'] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert json.loads(about['generator'])['type'] == 'mmspd.SemanticGuided'
    assert next(entry.version for entry in network.opset_import if not entry.domain) == 18
    axes = [axis.dim_param for axis in network.graph.input[0].type.tensor_type.shape.dim]
    assert axes == ['N', '', 'H', 'W']

    pixels = np.random.default_rng(0).integers(0, 256, (27, 38, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'blurry.png')
    page = (ROOT / 'docs' / 'deployment.md').read_text()
    lines = page.partition('```python\n')[2].partition('```')[0]
    subprocess.run([sys.executable, '-I', '-c', lines], cwd=tmp_path, check=True)
    with torch.no_grad():
        blurry = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
        expected = model.generator(blurry)[-1][0].clamp(0, 1).permute(1, 2, 0).numpy()
    got = np.asarray(Image.open(tmp_path / 'restored.png')) / 255
    assert np.abs(got - expected).max() < 0.51 / 255


@pytest.mark.slow
@pytest.mark.parametrize('recipe', ['mimounet', 'mprnet'])  # a minute each
def test_recipes_export_with_their_prior(recipe, tmp_path):
    config = Config.fromfile(ROOT / 'configs' / 'spd' / f'{recipe}_sp_gopro.py')
    generator = config.model.generator
    make_small(generator.restorer)
    generator.prior.extractor = dict(type='mmspd.ConvExtractor', width=4, num_blocks=(1, 1, 1))
    network = init_model(config).generator
    torch.manual_seed(0)
    for parameter in network.embedding.parameters():
        torch.nn.init.normal_(parameter, std=0.2)  # a prior that has learned something
    path = tmp_path / 'network.onnx'
    exported = export.export_network(network, path, {}, sizes=[(49, 70)])
    assert exported.differences[49, 70] < 1e-4
    assert path.stat().st_size > 10_000


def test_program_of_pytorch(plain, tmp_path):
    path = tmp_path / 'network.pt2'
    exported = export.export_network(plain, path, {'config': 'here'}, sizes=[(19, 30), (33, 16)])
    assert list(exported.differences) == [(19, 30), (33, 16)]
    assert exported.seconds is None
    about = {'mmspd.json': ''}
    program = torch.export.load(str(path), extra_files=about)
    assert json.loads(about['mmspd.json']) == {'config': 'here'}
    blurry = torch.rand(3, 3, 41, 58)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(blurry), plain(blurry)[-1])


def test_file_that_differs_is_not_written(plain, tmp_path):
    class Drifting(torch.nn.Module):
        """Returns something else whenever it is called."""

        def forward(self, img):
            return plain(img)[-1] + torch.rand(1)

    path = tmp_path / 'network.pt2'
    with pytest.raises(UserError, match=r'differs by 0\.\d+ from the network on an image of 61x75'):
        export.export_network(Drifting(), path, {})
    assert not path.exists()


def test_network_that_decides_by_the_size_is_refused(tmp_path):
    class Deciding(torch.nn.Module):
        def forward(self, img):
            return img * 2 if img.shape[-1] == 229 else img

    with pytest.raises(UserError, match='cannot be exported for any size .*: try --pad-to'):
        export.export_network(Deciding(), tmp_path / 'network.pt2', {})


def test_size_that_the_export_does_not_take(tmp_path):
    class Large(torch.nn.Module):
        def forward(self, img):
            return img * 2 if img.shape[-1] > 99 else img

    with pytest.raises(UserError, match=r'does not take an image of 20x20 \(Guard failed'):
        export.export_network(Large(), tmp_path / 'network.pt2', {}, sizes=[(20, 20)])


@pytest.mark.parametrize(
    ('name', 'options', 'sentence'),
    [
        ('network.pth', {}, 'must end in .onnx or .pt2'),
        ('network.pt2', {'opset': 18}, '--opset is for .onnx files'),
        ('network.onnx', {'opset': 17}, '--opset 17 must be 18 to 24'),
    ],
)
def test_arguments_that_do_not_fit(plain, tmp_path, name, options, sentence):
    with pytest.raises(UserError, match=sentence):
        export.export_network(plain, tmp_path / name, {}, **options)


def test_missing_packages_are_named(plain, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None if 'onnx' in name else 1)
    sentence = 'must be installed: pip install onnx onnxscript onnxruntime'
    with pytest.raises(UserError, match=sentence):
        export.export_network(plain, tmp_path / 'network.onnx', {})
