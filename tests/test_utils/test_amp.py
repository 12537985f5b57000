import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper

from mmspd.errors import UserError
from mmspd.utils import amp


@pytest.fixture
def accelerator(monkeypatch):
    """Return a function that pretends an accelerator of a compute capability."""

    def pretend(capability):
        for module in (amp, amp_optimizer_wrapper):
            monkeypatch.setattr(module, 'is_cuda_available', lambda: True)
        monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda: capability)

    return pretend


def config_of(**wrapper):
    return Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), **wrapper)))


@pytest.mark.parametrize(
    ('capability', 'dtype', 'scaled'),
    [
        ((9, 0), torch.bfloat16, False),
        ((8, 0), torch.bfloat16, False),
        ((7, 5), torch.float16, True),
    ],
)
def test_type_follows_the_accelerator(accelerator, capability, dtype, scaled):
    accelerator(capability)
    config = config_of(type='OptimWrapper', accumulative_counts=2, clip_grad=dict(max_norm=1))
    amp.use_mixed_precision(config)
    # without an accelerator PyTorch turns its scaler off with a warning: look at what it is given
    assert config.optim_wrapper.loss_scale == ('dynamic' if scaled else dict(enabled=False))
    wrapper = build_optim_wrapper(torch.nn.Linear(1, 1), config.optim_wrapper)
    assert type(wrapper).__name__ == 'AmpOptimWrapper'
    assert wrapper.cast_dtype == dtype
    assert wrapper._accumulative_counts == 2
    assert wrapper.clip_grad_kwargs == dict(max_norm=1)


def test_what_the_config_states_is_kept(accelerator):
    accelerator((9, 0))
    config = config_of(type='AmpOptimWrapper', dtype='float16', loss_scale=512.0)
    assert amp.use_mixed_precision(config) == 'float16'
    assert config.optim_wrapper.loss_scale == 512.0


@pytest.mark.parametrize('name', ['ApexOptimWrapper', 'other.OptimWrapper'])
def test_other_wrappers_are_refused(accelerator, name):
    accelerator((9, 0))
    with pytest.raises(UserError, match=f"the config has '{name}'"):
        amp.use_mixed_precision(config_of(type=name))
