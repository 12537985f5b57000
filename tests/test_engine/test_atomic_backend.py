from contextlib import suppress

import pytest
from mmengine.fileio import get_file_backend

from mmspd.engine.atomic_backend import BACKEND


@pytest.fixture
def backend():
    return get_file_backend(backend_args={'backend': BACKEND})


def test_bytes_and_text_are_written_atomically(backend, tmp_path, monkeypatch):
    file = tmp_path / 'new' / 'a.pth'
    backend.put(b'one', file)
    assert file.read_bytes() == b'one'
    backend.put_text('ä', file)
    assert file.read_text(encoding='utf-8') == 'ä'
    monkeypatch.setattr('os.replace', lambda *_: None)
    backend.put(b'two', file)
    assert file.read_text(encoding='utf-8') == 'ä'


def test_files_are_removed_at_the_end_of_a_successful_block(backend, tmp_path):
    file = tmp_path / 'a.pth'
    file.touch()
    with suppress(RuntimeError), backend.removals_deferred():
        backend.remove(file)
        raise RuntimeError
    assert file.exists()
    with backend.removals_deferred():
        backend.remove(file)
        assert file.exists()
    assert not file.exists()
    file.touch()
    backend.remove(file)
    assert not file.exists()


def test_file_written_again_after_its_removal_is_kept(backend, tmp_path):
    file = tmp_path / 'a.pth'
    file.touch()
    with backend.removals_deferred():
        backend.remove(file)
        backend.put(b'new', file)
    assert file.read_bytes() == b'new'
