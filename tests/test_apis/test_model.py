from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmspd.apis import init_model

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'spd'


@pytest.fixture
def small():
    config = Config.fromfile(CONFIGS / 'mimounet_gopro.py')
    config.model.generator.update(base=4, num_res=1)
    return config


def test_weights_of_a_runner_checkpoint(tmp_path, small):
    torch.manual_seed(0)
    source = init_model(small)
    torch.save({'state_dict': source.state_dict(), 'meta': {'epoch': 1}}, tmp_path / 'epoch_1.pth')
    model = init_model(small, tmp_path / 'epoch_1.pth')
    img = torch.rand(1, 3, 16, 16)
    assert not model.training
    with torch.no_grad():
        assert torch.equal(model(img), source(img))


def test_config_by_path():
    assert init_model(CONFIGS / 'quickstart.py').generator.multiple == 8


def test_wrong_checkpoints(tmp_path, small):
    with pytest.raises(ValueError, match=r'checkpoint: the file .*none.pth does not exist'):
        init_model(small, tmp_path / 'none.pth')
    torch.save({'state_dict': {'generator.x': torch.zeros(1)}}, tmp_path / 'other.pth')
    message = r'other\.pth does not fit the model of .*mimounet_gopro\.py: .* missing \(generator\.'
    with pytest.raises(ValueError, match=message):
        init_model(small, tmp_path / 'other.pth')


def test_weights_as_their_authors_published_them(tmp_path, small):
    torch.manual_seed(0)
    source = init_model(small)
    torch.save({'model': source.generator.state_dict()}, tmp_path / 'MIMO-UNet.pkl')
    guided = Config.fromfile(CONFIGS / 'mimounet_sp_gopro.py')
    guided.model.generator.restorer.update(base=4, num_res=1)
    guided.model.generator.prior.extractor = dict(
        type='mmspd.ConvExtractor', width=4, num_blocks=(1, 1, 1)
    )
    img = torch.rand(1, 3, 16, 16)
    for config in (small, guided):
        model = init_model(config, tmp_path / 'MIMO-UNet.pkl')
        with torch.no_grad():
            assert torch.equal(model(img), source(img))


def test_published_weights_of_another_restorer(tmp_path, small):
    torch.save({'model': {'x.weight': torch.zeros(1)}}, tmp_path / 'other.pkl')
    with pytest.raises(ValueError, match=r'checkpoint: .*other.pkl does not fit MIMO-UNet'):
        init_model(small, tmp_path / 'other.pkl')


def guided(normalize):
    config = Config.fromfile(CONFIGS / 'mimounet_sp_gopro.py')
    config.model.generator.restorer.update(base=4, num_res=1)
    extractor = dict(type='mmspd.ConvExtractor', width=4, num_blocks=(1, 1, 1))
    config.model.generator.prior.extractor = extractor
    config.model.prior_loss.normalize = normalize
    return config


def test_restoring_needs_no_weights_of_the_distillation(tmp_path):
    source = init_model(guided(normalize=False))
    torch.save({'state_dict': source.state_dict()}, tmp_path / 'raw.pth')
    with pytest.raises(ValueError, match=r'raw\.pth .*missing \(prior_loss\.norms\.0\.running_me'):
        init_model(guided(normalize=True), tmp_path / 'raw.pth')
    model = init_model(guided(normalize=True), tmp_path / 'raw.pth', distillation=False)
    img = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(model(img), source(img))
    weights = source.state_dict()
    del weights[next(name for name in weights if name.startswith('generator.'))]
    torch.save({'state_dict': weights}, tmp_path / 'broken.pth')
    with pytest.raises(ValueError, match=r'broken\.pth .* 1 missing \(generator\.'):
        init_model(guided(normalize=True), tmp_path / 'broken.pth', distillation=False)
