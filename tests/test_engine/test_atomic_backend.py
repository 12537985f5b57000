import errno
import os
import stat
from contextlib import suppress

import pytest
from mmengine.fileio import get_file_backend

from mmspd.engine import atomic_backend
from mmspd.errors import UserError


@pytest.fixture
def backend():
    return get_file_backend(backend_args={'backend': atomic_backend.BACKEND})


def test_put_writes_new_and_existing_files(backend, tmp_path):
    file = tmp_path / 'new' / 'a.pth'
    backend.put(b'one', file)
    backend.put(b'two', file)
    assert file.read_bytes() == b'two'
    backend.put_text('ä', file)
    assert file.read_text(encoding='utf-8') == 'ä'
    assert os.listdir(file.parent) == ['a.pth']
    # like any file the user writes, not for the owner alone as tempfile would make it
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~mask


def test_bytes_are_on_the_disk_before_the_file_has_its_name(backend, tmp_path, monkeypatch):
    calls = []
    real = os.replace, os.fsync
    monkeypatch.setattr(os, 'fsync', lambda handle: (calls.append('fsync'), real[1](handle)))
    monkeypatch.setattr(os, 'replace', lambda *names: (calls.append('replace'), real[0](*names)))
    backend.put(b'one', tmp_path / 'a.pth')
    assert calls == ['fsync', 'replace', 'fsync']


def test_full_disk_leaves_the_old_file_and_one_sentence(backend, tmp_path, monkeypatch):
    file = tmp_path / 'a.pth'
    backend.put(b'old', file)

    def full(handle):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(UserError, match=r'a.pth could not be written to .* it needs 5 bytes') as e:
        backend.put(b'newer', file)
    assert str(tmp_path) in str(e.value)
    assert 'No space left' in str(e.value)
    assert file.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['a.pth']


def test_folder_that_is_a_file_is_refused(backend, tmp_path):
    (tmp_path / 'work').touch()
    with pytest.raises(UserError, match=r'a.pth could not be written to .*/work'):
        backend.put(b'one', tmp_path / 'work' / 'a.pth')


def test_removals_wait_for_the_end_of_the_block_and_for_success(backend, tmp_path):
    file = tmp_path / 'a.pth'
    file.touch()
    with suppress(RuntimeError), backend.removals_deferred():
        backend.remove(file)
        raise RuntimeError
    assert file.exists()
    with backend.removals_deferred():
        with backend.removals_deferred():
            backend.remove(file)
        assert file.exists()
    assert not file.exists()
    file.touch()
    backend.remove(file)
    assert not file.exists()


def test_file_written_anew_after_its_removal_stays(backend, tmp_path):
    file = tmp_path / 'a.pth'
    file.touch()
    with backend.removals_deferred():
        backend.remove(file)
        backend.put(b'new', file)
    assert file.read_bytes() == b'new'


def test_leftovers_of_a_killed_run_are_deleted_and_nothing_else(backend, tmp_path, monkeypatch):
    class Killed(BaseException):
        """Not an error that put() cleans up after."""

    def killed(*names):
        raise Killed

    (tmp_path / 'a.pth').touch()
    (tmp_path / '.hidden').touch()
    monkeypatch.setattr(os, 'replace', killed)
    monkeypatch.setattr(atomic_backend.Path, 'unlink', lambda *_, **__: None)
    with pytest.raises(Killed):
        backend.put(b'one', tmp_path / 'a.pth')
    monkeypatch.undo()
    assert len(os.listdir(tmp_path)) == 3
    assert len(backend.remove_leftovers(tmp_path)) == 1
    assert sorted(os.listdir(tmp_path)) == ['.hidden', 'a.pth']
