"""The devices that a test run sees: GPUs only with ``pytest -m cuda``."""

import os
import sys

import pytest

#: The GPUs that are visible outside of the tests. They are hidden until :func:`choose`.
_VISIBLE = os.environ.get('CUDA_VISIBLE_DEVICES')
os.environ['CUDA_VISIBLE_DEVICES'] = ''


def choose(config):
    """Show the GPUs to a run of the tests marked cuda, for comparisons with the CPU.

    Raises:
        pytest.UsageError: ``--device`` is given without ``-m cuda``, or a ``conftest.py`` has
            imported MMEngine, which looks for GPUs only once.
    """
    if not _selects_cuda(config) and config.option.device:
        raise pytest.UsageError('--device is for the tests marked cuda; add -m cuda.')
    if not _sees_gpus(config):
        return
    if 'mmengine.device' in sys.modules:
        raise pytest.UsageError(
            'MMEngine was imported before the GPUs were shown; name only the folder tests/device.'
        )
    if _VISIBLE is None:
        del os.environ['CUDA_VISIBLE_DEVICES']
    else:
        os.environ['CUDA_VISIBLE_DEVICES'] = _VISIBLE
    # NVIDIA's libraries read these when they start, also in the processes that the tests start
    os.environ['NVIDIA_TF32_OVERRIDE'] = '0'
    os.environ['CUBLAS_WORKSPACE_CONFIG'] = ':4096:8'  # deterministic algorithms need it


def lacking(config):
    """Return the reason to skip the tests marked cuda; empty if they can run."""
    if not _selects_cuda(config):
        return 'GPUs are hidden from this run; add -m cuda to run only the tests of the device'
    if not _sees_gpus(config):
        return ''
    import torch

    if torch.cuda.is_available():
        return ''
    return 'this machine has no CUDA device; add --device cpu to run these tests on the CPU'


def _selects_cuda(config):
    """Return whether all tests of a run are marked cuda: ``-m cuda`` or ``-m "cuda and ..."``."""
    words = config.option.markexpr.split()
    return words[:1] == ['cuda'] and 'or' not in words


def _sees_gpus(config):
    return _selects_cuda(config) and config.option.device != 'cpu'
