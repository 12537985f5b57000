import errno
import os

import pytest

from mmspd.errors import UserError
from mmspd.utils.files import write_bytes, write_text


def test_text_is_written_as_utf8_into_a_new_folder(tmp_path):
    write_text(tmp_path / 'a' / 'b.txt', 'é\n')
    assert (tmp_path / 'a' / 'b.txt').read_bytes() == b'\xc3\xa9\n'


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / 'file'
    write_bytes(path, b'old')

    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(UserError, match=r'no space left to write .*file.* \(3 bytes\)'):
        write_bytes(path, b'new')
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [('file', b'old')]


def test_a_file_in_the_place_of_the_folder_is_one_sentence(tmp_path):
    (tmp_path / 'folder').write_text('')
    with pytest.raises(UserError, match='cannot write .*folder/file'):
        write_bytes(tmp_path / 'folder' / 'file', b'')


def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / 'file'
    write_bytes(path, b'old')

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'replace', interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(path, b'new')
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [('file', b'old')]
