import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from mmspd.errors import DiskFullError, UserError
from mmspd.utils import files
from mmspd.utils.files import atomic_path, remove_leftovers, write_bytes, write_text


@pytest.fixture
def old(tmp_path):
    """An existing file; the tests fail to replace it."""
    path = tmp_path / 'file'
    write_bytes(path, b'old')
    return path


def only_the_old(path):
    return [(entry.name, entry.read_bytes()) for entry in path.parent.iterdir()] == [
        ('file', b'old')
    ]


def write_half(path, error):
    with atomic_path(path) as temporary:
        temporary.write_bytes(b'half')
        raise error


def test_new_and_existing_files_are_written(tmp_path):
    path = tmp_path / 'new' / 'b.txt'
    write_bytes(path, b'one')
    write_text(path, 'é\n')
    assert path.read_bytes() == b'\xc3\xa9\n'
    write_text(path, os.fsdecode(b'not \xff unicode'))
    assert path.read_bytes() == b'not \xff unicode'
    write_text(path, 'é\n')
    assert os.listdir(path.parent) == ['b.txt']
    # the usual permissions of new files; tempfile would make a file that only its owner can read
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize('name', ['a' * 251 + '.png', 'ä' * 125 + '.png', '\udcff' * 251 + '.png'])
def test_names_of_up_to_255_bytes_are_written(tmp_path, name):
    write_bytes(tmp_path / name, b'one')
    assert os.listdir(tmp_path) == [name]
    with atomic_path(tmp_path / name) as temporary:
        assert temporary.suffix == Path(name).suffix  # FFmpeg chooses the container by the suffix
        temporary.write_bytes(b'two')
        assert len(remove_leftovers(tmp_path)) == 1
        temporary.write_bytes(b'two')
    with pytest.raises(UserError, match='File name too long'):
        write_bytes(tmp_path / f'{name}aaaaa', b'one')
    assert (tmp_path / name).read_bytes() == b'two'
    assert os.listdir(tmp_path) == [name]


def test_bytes_are_flushed_before_the_file_is_renamed(tmp_path, monkeypatch):
    calls = []
    real = os.replace, os.fsync
    monkeypatch.setattr(os, 'fsync', lambda handle: (calls.append('fsync'), real[1](handle)))
    monkeypatch.setattr(os, 'replace', lambda *names: (calls.append('replace'), real[0](*names)))
    write_bytes(tmp_path / 'a.pth', b'one')
    assert calls == ['fsync', 'replace', 'fsync']


@pytest.mark.parametrize('call', ['fsync', 'replace'])
def test_a_full_disk_leaves_only_the_old_file(old, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, call, full)
    sentence = r'No disk space is left to write .*file.* \(5 bytes are needed and \d+ bytes are fre'
    with pytest.raises(DiskFullError, match=sentence):
        write_bytes(old, b'newer')
    assert only_the_old(old)


@pytest.mark.parametrize('error', [KeyboardInterrupt, UserError('of the block')])
def test_an_error_in_the_block_leaves_only_the_old_file(old, error):
    with pytest.raises((KeyboardInterrupt, UserError)):
        write_half(old, error)
    assert only_the_old(old)


def test_a_path_that_cannot_be_written_is_a_user_error(old):
    with pytest.raises(UserError, match='Cannot write .*file/a.*; choose another path'):
        write_bytes(old / 'a', b'')
    with pytest.raises(UserError, match=r'Cannot write .* \(Is a directory\)'):
        write_bytes(old.parent, b'')
    assert only_the_old(old)


def test_only_leftovers_of_a_killed_process_are_deleted(old, monkeypatch):
    class Killed(BaseException):
        """Stands for a kill, after which no cleanup runs."""

    monkeypatch.setattr(files.Path, 'unlink', lambda *_, **__: None)
    with pytest.raises(Killed):
        write_half(old, Killed)
    monkeypatch.undo()
    (old.parent / '.hidden').touch()
    assert len(os.listdir(old.parent)) == 3
    assert len(remove_leftovers(old.parent)) == 1
    assert sorted(os.listdir(old.parent)) == ['.hidden', 'file']


def test_leftovers_of_running_processes_are_kept(tmp_path):
    host, parent = socket.gethostname().replace('.', '-')[:32], os.getppid()
    ended = 2**22 + 1  # above the largest process number of Linux
    for name in (f'{host}.{parent}.a', f'{host}.{ended}.b', 'other.7.new', 'other.7.old', 'note'):
        (tmp_path / f'.mmspd-tmp.{name}').touch()
    os.utime(tmp_path / '.mmspd-tmp.other.7.old', (0, 0))
    deleted = {f'.mmspd-tmp.{host}.{ended}.b', '.mmspd-tmp.other.7.old'}
    assert set(remove_leftovers(tmp_path)) == deleted
    assert len(os.listdir(tmp_path)) == 3
