from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmspd.apis import init_model

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'spd'


@pytest.fixture
def plain():
    config = Config.fromfile(CONFIGS / 'mimounet_gopro.py')
    config.model.generator.update(base=4, num_res=1)
    return config


def guided(normalize=True):
    config = Config.fromfile(CONFIGS / 'mimounet_sp_gopro.py')
    config.model.generator.restorer.update(base=4, num_res=1)
    extractor = dict(type='mmspd.ConvExtractor', width=4, num_blocks=(1, 1, 1))
    config.model.generator.prior.extractor = extractor
    config.model.prior_loss.normalize = normalize
    return config


def restores_alike(*models):
    img = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        return all(torch.equal(model(img), models[0](img)) for model in models)


def save(path, **content):
    torch.save(content, path)
    return path


def test_weights_of_a_runner_checkpoint(tmp_path, plain):
    source = init_model(plain)
    path = save(tmp_path / 'epoch_1.pth', state_dict=source.state_dict(), meta=dict(epoch=1))
    model = init_model(plain, path)
    assert not model.training
    assert restores_alike(source, model)
    assert not restores_alike(source, init_model(plain))


def test_config_by_path():
    assert init_model(CONFIGS / 'quickstart.py').generator.multiple == 8


def test_wrong_checkpoints(tmp_path, plain):
    with pytest.raises(ValueError, match=r'checkpoint: the file .*none.pth does not exist'):
        init_model(plain, tmp_path / 'none.pth')
    other = save(tmp_path / 'other.pth', state_dict={'generator.x': torch.zeros(1)})
    message = r'other\.pth does not fit the model of .*mimounet_gopro\.py: .* missing \(generator\.'
    with pytest.raises(ValueError, match=message):
        init_model(plain, other)
    other = save(tmp_path / 'other.pkl', model={'x.weight': torch.zeros(1)})
    with pytest.raises(ValueError, match=r'checkpoint: .*other.pkl does not fit MIMO-UNet'):
        init_model(plain, other)


def test_weights_as_their_authors_published_them(tmp_path, plain):
    source = init_model(plain)
    path = save(tmp_path / 'MIMO-UNet.pkl', model=source.generator.state_dict())
    assert restores_alike(source, init_model(plain, path), init_model(guided(), path))


def test_restoring_needs_no_weights_of_the_distillation(tmp_path):
    source = init_model(guided(normalize=False))
    weights = source.state_dict()
    path = save(tmp_path / 'raw.pth', state_dict=weights)
    with pytest.raises(ValueError, match=r'raw\.pth .*missing \(prior_loss\.norms\.0\.running_me'):
        init_model(guided(), path)
    assert restores_alike(source, init_model(guided(), path, distillation=False))
    del weights[next(name for name in weights if name.startswith('generator.'))]
    path = save(tmp_path / 'broken.pth', state_dict=weights)
    with pytest.raises(ValueError, match=r'broken\.pth .* 1 missing \(generator\.'):
        init_model(guided(), path, distillation=False)
