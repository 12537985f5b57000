import pytest
import torch

from mmspd.apis import init_model

RAW = "model['prior_loss']['normalize'] = False"


@pytest.fixture
def plain(write_config):
    return write_config()


@pytest.fixture
def guided(write_config):
    return write_config('', 'guided.py', 'distilled')


def have_equal_results(*models):
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
    assert have_equal_results(source, model)
    assert not have_equal_results(source, init_model(plain))


def test_wrong_checkpoints(tmp_path, plain):
    with pytest.raises(ValueError, match=r'checkpoint: the file .*none.pth does not exist'):
        init_model(plain, tmp_path / 'none.pth')
    other = save(tmp_path / 'other.pth', state_dict={'generator.x': torch.zeros(1)})
    message = r'other\.pth does not fit the model of .*tiny\.py: .* missing \(generator\.'
    with pytest.raises(ValueError, match=message):
        init_model(plain, other)
    other = save(tmp_path / 'other.pkl', model={'x.weight': torch.zeros(1)})
    with pytest.raises(ValueError, match=r'checkpoint: .*other.pkl does not fit MIMO-UNet'):
        init_model(plain, other)


def test_published_weights(tmp_path, plain, guided):
    source = init_model(plain)
    path = save(tmp_path / 'MIMO-UNet.pkl', model=source.generator.state_dict())
    assert have_equal_results(source, init_model(plain, path), init_model(guided, path))


def test_weights_of_the_distillation_are_optional(tmp_path, write_config, guided):
    source = init_model(write_config(RAW, 'raw.py', 'distilled'))
    weights = source.state_dict()
    path = save(tmp_path / 'raw.pth', state_dict=weights)
    with pytest.raises(ValueError, match=r'raw\.pth .*missing \(prior_loss\.norms\.0\.running_me'):
        init_model(guided, path)
    assert have_equal_results(source, init_model(guided, path, distillation=False))
    del weights[next(name for name in weights if name.startswith('generator.'))]
    path = save(tmp_path / 'broken.pth', state_dict=weights)
    with pytest.raises(ValueError, match=r'broken\.pth .* 1 missing \(generator\.'):
        init_model(guided, path, distillation=False)
