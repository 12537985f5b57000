"""Each container of weights loads the same through every loader."""

import numpy as np
import pytest
import support
import torch
from mmengine.config import Config
from published import prefixed
from safetensors.torch import save_file

from mmspd.errors import UserError
from mmspd.registry import build_model
from mmspd.weights.containers import unwrap_state
from mmspd.weights.fit import describe_faults
from mmspd.weights.loading import load_backbone_weights, load_renamed
from mmspd.weights.official import load_official

RESTORER = dict(type='mmspd.MIMOUNet', base=4, num_res=1, dropout=0.3)


def averaged(state):
    """The weights of the last step as MMEngine's EMAHook saves them."""
    noise = {key: torch.randn_like(value) for key, value in state.items()}
    return {**prefixed(noise), 'steps': torch.tensor(3)}


#: A dict from names to functions that put weights into a container.
FORMS = {
    'plain': dict,
    'with other values': lambda state: {**state, 'epoch': 3, 'optimizer': {'state': {}}},
    **{
        wrapper: lambda state, wrapper=wrapper: {wrapper: state, 'epoch': 3}
        for wrapper in ('state_dict', 'model', 'params', 'params_ema', 'model_state_dict', 'ema')
    },
    **{
        prefix: lambda state, prefix=prefix: {'state_dict': prefixed(state, prefix)}
        for prefix in ('module.', 'module.module.', '_orig_mod.', 'module._orig_mod.')
    },
    'plain module.': prefixed,
    'compiled parts': lambda state: {
        key.replace('Encoder.', 'Encoder._orig_mod.'): value for key, value in state.items()
    },
    'EMAHook': lambda state: {'state_dict': state, 'ema_state_dict': averaged(state), 'meta': {}},
    'averaged model': lambda state: {'ema_state_dict': {**prefixed(state), 'steps': torch.ones(1)}},
    'averaged model of torch': lambda state: {'n_averaged': torch.ones(1), **prefixed(state)},
}


def save_all(state, folder):
    """Save weights in all forms; return the files."""
    folder.mkdir()
    for name, wrap in FORMS.items():
        torch.save(wrap(state), folder / f'{name}.pth')
    torch.save({'state_dict': state}, folder / 'stream.pth', _use_new_zipfile_serialization=False)
    save_file(state, folder / 'safetensors.safetensors')
    save_file(prefixed(state), folder / 'safetensors module.safetensors')
    return sorted(folder.iterdir())


@pytest.fixture(scope='module')
def weights():
    torch.manual_seed(5)
    return {k: torch.randn_like(v) for k, v in build_model(RESTORER).state_dict().items()}


def loader_of(name, make_runner, write_config, tmp_path):
    """Return a function from a file to the loaded weights of the restorer."""
    if name in ('train', 'test'):
        runner = make_runner()
        if name == 'train':
            runner._train_loop = runner.build_train_loop(runner._train_loop)

        def load(path):
            runner._load_from, runner._has_loaded = path, False
            runner.load_or_resume()
            return runner.model.generator.state_dict()

        return load
    if name == 'deblur':
        from mmspd.apis import DeblurInferencer

        config = Config.fromfile(write_config())
        return lambda path: DeblurInferencer(config, path, 'cpu').model.generator.state_dict()
    if name == 'load_official':
        restorer = build_model(RESTORER)

        def load(path):
            load_official(restorer, path)
            return restorer.state_dict()

        return load

    out = str(tmp_path / 'out.pth')
    main = support.load_tool('model_converters/official2mmspd.py').main

    def convert(path):
        main(['mimounet', path, out])
        return torch.load(out, weights_only=True)['state_dict']

    return convert


@pytest.mark.slow
@pytest.mark.parametrize('loader', ['train', 'test', 'deblur', 'load_official', 'converter'])
def test_all_containers_have_the_same_weights(loader, weights, make_runner, write_config, tmp_path):
    load = loader_of(loader, make_runner, write_config, tmp_path)
    files = save_all(prefixed(weights, 'generator.'), tmp_path / 'trained')
    if loader != 'train':  # published weights start a training with load_official
        files += save_all(weights, tmp_path / 'published')
    for file in files:
        loaded = load(str(file))
        assert loaded.keys() == weights.keys(), file
        assert all(torch.equal(loaded[key], weights[key]) for key in weights), file
        for value in loaded.values():  # so that a file that changes nothing is noticed
            value.zero_()


@pytest.mark.parametrize(
    ('content', 'sentence'),
    [
        ({'a.b': torch.ones(1), 'module.a.b': torch.zeros(1)}, 'the weight a.b twice, as a.b and'),
        ({'model': {'a.b': 1.0, 'a.c': torch.ones(1)}}, 'a float for the weight a.b, not a tensor'),
        ({'model': {'a.b': np.ones(1)}}, 'a ndarray for the weight a.b, not a tensor'),
        ({'model': {}}, 'contains no state dict'),
        ([torch.ones(1)], 'contains no state dict'),
    ],
)
def test_containers_with_a_fault(content, sentence):
    with pytest.raises(UserError, match=f'^w.pth .*{sentence}'):
        unwrap_state(content, 'w.pth')


def test_faults_are_described_truly():
    expected = dict(a=torch.zeros(2), b=torch.zeros(2), c=torch.zeros(2), d=torch.zeros(2))
    given = dict(a=torch.zeros(2).half(), b=torch.zeros(2).int(), c=torch.zeros(2, 1))
    assert describe_faults(given, expected) == [
        '1 missing (d)',
        '1 of another shape (c is (2, 1) instead of (2,))',
        '1 of another type (b is int32 instead of float32)',
    ]


@pytest.mark.parametrize(
    ('state', 'sentence'),
    [
        ({'weight': torch.ones(1, 1)}, '1 of 2 tensors are missing or differ: 1 missing .bias'),
        (
            {'weight': torch.ones(1, 1), 'bias': torch.ones(2)},
            r'1 of 2 .*1 of another shape \(bias is \(2,\) instead of \(1,\)\)',
        ),
        (
            {'weight': torch.ones(1, 1), 'bias': torch.ones(1).int()},
            r'1 of another type \(bias is int32 instead of float32\)',
        ),
        (
            {'weight': torch.ones(1, 1), 'bias': torch.ones(1), 'backbone.bias': torch.zeros(1)},
            'the weight bias twice, as bias and as backbone.bias',
        ),
    ],
)
def test_backbones_describe_faults_truly(tmp_path, state, sentence):
    path, layer = str(tmp_path / 'w.pth'), torch.nn.Linear(1, 1)
    torch.save(state, path)
    with pytest.raises(UserError, match=sentence):
        load_backbone_weights(layer, path, dict(type='Teacher'))


def test_renamed_weights_describe_faults_truly(tmp_path):
    path, layer = str(tmp_path / 'w.pth'), torch.nn.Linear(1, 1)
    torch.save({'x': torch.ones(1, 1), 'y': torch.ones(1).bool()}, path)
    names = dict(weight='x', bias='y')
    with pytest.raises(UserError, match=r'1 of another type \(bias is bool instead of float32\)'):
        load_renamed(layer, names, path, 'https://a/vgg.pth', 'VGG')
