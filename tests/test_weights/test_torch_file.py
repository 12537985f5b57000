"""Damaged, hostile and other files: none runs code, each raises a clear error."""

import os
import pickle
import tarfile
import zipfile

import pytest
import torch

from mmspd.errors import UserError
from mmspd.weights.torch_file import read_torch_file


class Hostile:
    """Creates a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def refusal(path):
    with pytest.raises(UserError) as error:
        read_torch_file(path, 'IN')
    message = str(error.value)
    assert message.startswith(f'IN: {path} ')
    assert message.endswith('.')
    assert '\n' not in message
    return message


@pytest.mark.parametrize('is_zip', [True, False])
def test_both_formats_load(tmp_path, is_zip):
    state = {'a': torch.rand(3, 4), 'half': torch.ones(2, dtype=torch.float16)}
    path = tmp_path / 'weights.pkl'
    torch.save({'model': state}, path, _use_new_zipfile_serialization=is_zip)
    loaded = read_torch_file(path, 'IN')['model']
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


@pytest.mark.parametrize('is_zip', [True, False])
@pytest.mark.parametrize('part', [0.002, 0.01, 0.1, 0.5, 0.99])
def test_truncated(tmp_path, is_zip, part):
    path = tmp_path / 'weights.pth'
    torch.save({'a': torch.rand(100, 100)}, path, _use_new_zipfile_serialization=is_zip)
    os.truncate(path, int(path.stat().st_size * part))
    assert 'it is truncated or damaged; copy or download it again' in refusal(path)


@pytest.mark.parametrize('is_zip', [True, False])
def test_hostile_file_is_refused_and_not_run(tmp_path, is_zip):
    path, victim = tmp_path / 'weights.pth', tmp_path / 'victim'
    content = {'model': {'a': torch.ones(1), 'b': Hostile(str(victim))}}
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    assert 'it needs posix.mkdir, which could run code' in refusal(path)
    assert not victim.exists()
    torch.load(path, weights_only=False)  # an unsafe load does run its code
    assert victim.exists()


def test_whole_network_is_refused(tmp_path):
    torch.save(torch.nn.Linear(1, 1), tmp_path / 'net.pth')
    message = refusal(tmp_path / 'net.pth')
    assert 'it needs torch.nn.modules.linear.Linear' in message
    assert 'torch.save(network.state_dict(), path)' in message


def test_tar_is_not_unpickled(tmp_path):
    """PyTorch before 2.6 unpickles a tar file even with weights_only."""
    torch.save({'a': torch.ones(1)}, tmp_path / 'a.pth')
    with tarfile.open(tmp_path / 'a.pkl', 'w') as tar:
        tar.add(tmp_path / 'a.pth', 'a.pth')
    assert 'it is a tar file' in refusal(tmp_path / 'a.pkl')


def test_other_files_are_refused(tmp_path):
    path = tmp_path / 'weights.pth'
    for content, reason in (
        (b'', 'it is empty'),
        (b'\n<!doctype html><html>', 'it is a web page; download the file that the page links to'),
        (b'hello', 'torch.save did not write it'),
        (pickle.dumps({'a': 1}), 'it is a pickle that torch.save did not write'),
    ):
        path.write_bytes(content)
        assert reason in refusal(path)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('model-1000.pt', b'weights')
    assert 'it is an archive; unpack it' in refusal(path)
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), path)
    assert 'it is a TorchScript program' in refusal(path)
    assert 'cannot be read: is a directory; check the path' in refusal(tmp_path)
