"""Fixtures for the tests of a device."""

import functools

import pytest
import torch


@pytest.fixture
def device(request):
    """The device of the run: ``cuda``, or ``cpu`` with ``--device cpu``."""
    return torch.device(request.config.option.device or 'cuda')


@pytest.fixture(autouse=True)
def default_algorithms():
    """Compute without TF32, and undo the settings that a training run leaves behind."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def float16_training(device, monkeypatch):
    """Let MMEngine train in float16 on the CPU too, which it refuses."""
    # imported here, because this file may be imported before the root's conftest.py hides GPUs
    from mmengine.optim.optimizer import amp_optimizer_wrapper
    from mmengine.runner import amp

    if device.type == 'cpu':
        scaler = functools.partial(torch.amp.GradScaler, 'cpu')
        monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
        monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', scaler)
        monkeypatch.setattr(amp, 'autocast', lambda dtype: torch.autocast('cpu', dtype))
