import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper

from mmspd.engine import AmpOptimWrapper, OptimWrapper, mixed_precision
from mmspd.errors import UserError


@pytest.fixture
def accelerator(monkeypatch):
    """Return a function that imitates an accelerator with a compute capability."""

    def pretend(capability):
        monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
        monkeypatch.setattr(mixed_precision, 'has_accelerator', lambda: True)
        monkeypatch.setattr(mixed_precision, 'get_device', lambda: 'cuda')
        monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda *_: capability)

    return pretend


def config_of(**wrapper):
    return Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), **wrapper)))


@pytest.mark.parametrize('scope', ['', 'mmengine.', 'mmspd.'])
@pytest.mark.parametrize('capability', [None, (8, 0), (9, 0)])
def test_bfloat16_on_devices_that_support_it(accelerator, capability, scope):
    if capability is not None:
        accelerator(capability)
    elif mixed_precision.has_accelerator():
        pytest.skip('this machine has an accelerator')
    settings = dict(accumulative_counts=2, clip_grad=dict(max_norm=1))
    config = config_of(type=f'{scope}OptimWrapper', **settings)
    assert mixed_precision.use_mixed_precision(config) == 'bfloat16'
    wrapper = build_optim_wrapper(torch.nn.Linear(1, 1), config.optim_wrapper)
    assert isinstance(wrapper, OptimWrapper)
    assert wrapper.dtype == 'bfloat16'
    assert wrapper._accumulative_counts == 2
    assert wrapper.clip_grad_kwargs == dict(max_norm=1)


def test_float16_elsewhere(accelerator):
    accelerator((7, 5))
    config = config_of(type='mmspd.OptimWrapper', accumulative_counts=2)
    assert mixed_precision.use_mixed_precision(config) == 'float16'
    # without an accelerator, PyTorch turns its scaler off with a warning, so check the config
    assert config.optim_wrapper.loss_scale == 'dynamic'
    config.optim_wrapper.loss_scale = dict(enabled=False)
    wrapper = build_optim_wrapper(torch.nn.Linear(1, 1), config.optim_wrapper)
    assert isinstance(wrapper, AmpOptimWrapper)
    assert wrapper.cast_dtype == torch.float16
    assert wrapper._accumulative_counts == 2


@pytest.mark.skipif(mixed_precision.has_accelerator(), reason='this machine has an accelerator')
def test_float16_needs_an_accelerator():
    with pytest.raises(UserError, match="dtype='float16' needs an accelerator.*; use 'bfloat16'"):
        mixed_precision.use_mixed_precision(config_of(type='AmpOptimWrapper', dtype='float16'))


def test_values_of_the_config_are_kept(accelerator):
    accelerator((9, 0))
    config = config_of(type='AmpOptimWrapper', dtype='float16', loss_scale=512.0)
    assert mixed_precision.use_mixed_precision(config) == 'float16'
    assert config.optim_wrapper.loss_scale == 512.0


@pytest.mark.parametrize('name', ['ApexOptimWrapper', 'other.OptimWrapper'])
def test_other_wrappers_are_refused(accelerator, name):
    accelerator((9, 0))
    with pytest.raises(UserError, match=f"the config has '{name}'"):
        mixed_precision.use_mixed_precision(config_of(type=name))
