"""Pickles of weights and runner checkpoints: honest ones are read exactly, others call nothing."""

import os
import pickle

import numpy as np
import pytest
import torch
from hostile import Reduced
from mmengine.logging import HistoryBuffer, MessageHub

from mmspd.errors import UserError
from mmspd.weights.torch_file import read_torch_file


def test_checkpoint_of_a_runner_can_be_loaded(tmp_path):
    # MMEngine saves objects in its checkpoints, which the safe loader of PyTorch refuses.
    hub = MessageHub('compat')
    hub.update_scalar('train/loss', 0.5)
    hub.update_scalar('train/loss', 0.25)
    hub.update_info('best_score', np.float32(30.5))
    hub.update_info('counts', np.arange(3))
    weights = torch.nn.Linear(2, 2).state_dict()
    torch.save(dict(message_hub=hub.state_dict(), state_dict=weights), tmp_path / 'a.pth')
    loaded = read_torch_file(tmp_path / 'a.pth', 'IN')
    history = loaded['message_hub']['log_scalars']['train/loss']
    assert (history.current(), history.statistics('mean')) == (0.25, 0.375)
    assert loaded['message_hub']['runtime_info']['best_score'] == 30.5
    assert list(loaded['message_hub']['runtime_info']['counts']) == [0, 1, 2]
    fresh = MessageHub('compat_loaded')
    fresh.load_state_dict(loaded['message_hub'])
    assert fresh.get_scalar('train/loss').current() == 0.25


@pytest.mark.parametrize('core', ['numpy.core', 'numpy._core'])
def test_checkpoints_of_either_numpy_load(tmp_path, core):
    content = pickle.dumps(np.arange(3.0), protocol=2)
    other = 'numpy._core' if b'numpy._core' in content else 'numpy.core'
    # torch.save does not let us choose the module's name; edit the plain pickle of the old format.
    file = tmp_path / 'a.pth'
    torch.save(np.arange(3.0), file, _use_new_zipfile_serialization=False)
    file.write_bytes(file.read_bytes().replace(f'c{other}.'.encode(), f'c{core}.'.encode()))
    assert f'c{core}.'.encode() in file.read_bytes()
    assert list(read_torch_file(file, 'IN')) == [0, 1, 2]


@pytest.mark.parametrize(
    'hostile',
    [
        lambda marker: Reduced(os.system, f'touch {marker}'),
        lambda marker: Reduced(eval, f"open('{marker}', 'w')"),
        lambda marker: Reduced(getattr, np.ndarray, 'tofile'),
        lambda marker: Reduced(getattr, HistoryBuffer, '__init__'),
        lambda marker: Reduced(getattr, HistoryBuffer, '__subclasses__'),
        lambda marker: Reduced(getattr, Reduced(getattr, HistoryBuffer, 'mean'), '__globals__'),
        lambda marker: Reduced(Reduced(getattr, HistoryBuffer, 'mean'), str(marker)),
    ],
    ids=['system', 'eval', 'other-class', 'init', 'subclasses', 'globals', 'call'],
)
def test_hostile_checkpoint_runs_no_code(tmp_path, hostile):
    marker = tmp_path / 'marker'
    torch.save(dict(state_dict={}, message_hub=hostile(marker)), tmp_path / 'hostile.pth')
    from mmengine.runner.checkpoint import _load_checkpoint

    import mmspd.engine  # noqa: F401  (turns the loader's error into a UserError)

    with pytest.raises(UserError, match='it needs .*, which could run code'):
        _load_checkpoint(str(tmp_path / 'hostile.pth'), map_location='cpu')
    assert not marker.exists()
