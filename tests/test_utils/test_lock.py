import multiprocessing
import os
import socket

import pytest

from mmspd.errors import UserError
from mmspd.utils.lock import LOCK_NAME, lock_folder, unlock_folder


def hold(folder, ready, end):
    lock_folder(folder)
    ready.set()
    end.wait(60)


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of the folder."""
    processes = multiprocessing.get_context('fork')
    ready, end = processes.Event(), processes.Event()
    process = processes.Process(target=hold, args=(tmp_path, ready, end))
    process.start()
    assert ready.wait(60)
    yield process
    process.kill()
    process.join()


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path, holder):
    sentence = f'is in use by process {holder.pid} on {socket.gethostname()}; wait for its end'
    with pytest.raises(UserError, match=sentence):
        lock_folder(tmp_path)
    holder.kill()
    holder.join()
    assert lock_folder(tmp_path)
    unlock_folder(tmp_path)


def test_forked_processes_do_not_inherit_the_lock(tmp_path):
    """Data loading processes may live longer than a killed run."""
    assert lock_folder(tmp_path)
    assert lock_folder(tmp_path)  # again, in the same process
    child = os.fork()
    if child == 0:
        try:
            lock_folder(tmp_path)
        except UserError:
            os._exit(7)
        os._exit(0)
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 7
    unlock_folder(tmp_path)
    unlock_folder(tmp_path)


def test_a_folder_without_write_access(tmp_path):
    (tmp_path / LOCK_NAME).mkdir()
    with pytest.raises(UserError, match=r"Cannot write '.*run.lock' \(Is a directory\); choose"):
        lock_folder(tmp_path)


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(38, 'Function not implemented')

    monkeypatch.setattr('fcntl.lockf', fail)
    assert not lock_folder(tmp_path)
