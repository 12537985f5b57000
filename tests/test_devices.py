"""The rule for GPUs: only runs of the tests marked cuda see them."""

import os
import sys
import types

import devices
import pytest
import torch


def config_of(marks, device=None):
    return types.SimpleNamespace(option=types.SimpleNamespace(markexpr=marks, device=device))


@pytest.fixture
def visible(monkeypatch):
    """Return a function that starts a run, and returns the GPUs that it sees."""

    def start(*options):
        monkeypatch.setattr(devices, '_VISIBLE', '3')
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
        for name in ('NVIDIA_TF32_OVERRIDE', 'CUBLAS_WORKSPACE_CONFIG'):
            monkeypatch.setenv(name, 'unset')
        monkeypatch.delitem(sys.modules, 'mmengine.device', raising=False)
        devices.choose(config_of(*options))
        return os.environ['CUDA_VISIBLE_DEVICES'], os.environ['NVIDIA_TF32_OVERRIDE']

    return start


def test_only_tests_of_the_device_see_gpus(visible):
    for marks in ('', 'not slow', 'not cuda', 'cuda or slow', 'slow and cuda'):
        assert visible(marks) == ('', 'unset')
    for marks in ('cuda', 'cuda and not slow'):
        assert visible(marks) == visible(marks, 'cuda') == ('3', '0')
        assert visible(marks, 'cpu') == ('', 'unset')


def test_a_device_without_the_mark_is_refused(visible):
    for device in ('cpu', 'cuda'):
        with pytest.raises(pytest.UsageError, match='add -m cuda'):
            visible('not slow', device)


def test_gpus_cannot_be_shown_too_late():
    assert 'mmengine.device' in sys.modules
    with pytest.raises(pytest.UsageError, match='name only the folder tests/device'):
        devices.choose(config_of('cuda'))


@pytest.mark.parametrize(
    ('marks', 'device', 'available', 'reason'),
    [
        ('not slow', None, True, 'GPUs are hidden from this run; add -m cuda'),
        ('cuda', None, False, 'has no CUDA device; add --device cpu'),
        ('cuda', None, True, ''),
        ('cuda', 'cpu', False, ''),
    ],
)
def test_reasons_to_skip(monkeypatch, marks, device, available, reason):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: available)
    given = devices.lacking(config_of(marks, device))
    assert reason in given
    assert bool(given) == bool(reason)
