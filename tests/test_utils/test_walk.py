import os
import socket
from pathlib import Path

import pytest

from mmspd.errors import UserError
from mmspd.utils.walk import list_files, list_folder


@pytest.fixture
def folder(tmp_path):
    """A folder with every kind of entry, and an album outside of it."""
    root = tmp_path / 'root'
    for name in ('b.png', 'a/c.png', 'a/deep/d.png', '.hidden.png', '.cache/e.png'):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (tmp_path / 'album').mkdir()
    (tmp_path / 'album' / 'f.png').touch()
    (root / 'album').symlink_to(tmp_path / 'album')
    (root / 'link.png').symlink_to('b.png')
    return root


def names(listing, root):
    return [file.relative_to(root).as_posix() for file in listing.files]


def test_files_and_links_are_listed_in_order(folder):
    listing = list_files(folder)
    assert names(listing, folder) == ['b.png', 'link.png', 'a/c.png', 'a/deep/d.png', 'album/f.png']
    assert listing.skipped == listing.failures == {}
    flat = list_files(folder, recursive=False)
    assert names(flat, folder) == ['b.png', 'link.png']
    assert flat.skipped == {folder / 'a': 'folder', folder / 'album': 'folder'}


def test_every_folder_is_entered_once_by_its_real_name(folder):
    (folder / 'a' / 'deep' / 'up').symlink_to(folder)
    (folder / '0').symlink_to(folder / 'a')
    (folder / 'album' / 'loop').symlink_to(folder / 'album')
    listing = list_files(folder)
    assert names(listing, folder) == ['b.png', 'link.png', 'a/c.png', 'a/deep/d.png', 'album/f.png']
    assert listing.skipped == {
        folder / '0': f"the same folder as '{folder / 'a'}'",
        folder / 'a' / 'deep' / 'up': f"the same folder as '{folder}'",
        folder / 'album' / 'loop': f"the same folder as '{folder / 'album'}'",
    }


def test_only_entries_that_cannot_block_are_files(folder, monkeypatch):
    os.mkfifo(folder / 'pipe.png')
    (folder / 'to pipe.png').symlink_to('pipe.png')
    (folder / 'null.png').symlink_to('/dev/null')
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind('socket.png')
        (folder / 'self.png').symlink_to('self.png')
        (folder / 'nowhere.png').symlink_to('nothing')
        listing = list_files(folder, recursive=False)
    assert names(listing, folder) == ['b.png', 'link.png', 'nowhere.png', 'self.png']
    special = {path.name: reason for path, reason in listing.skipped.items() if reason != 'folder'}
    assert special == dict.fromkeys(
        ('pipe.png', 'to pipe.png', 'null.png', 'socket.png'), 'pipe, socket or device'
    )


def test_a_folder_that_is_left_out_is_not_reached_by_a_link(folder):
    (folder / 'out' / 'sub').mkdir(parents=True)
    for name in ('out/x.png', 'out/sub/y.png'):
        (folder / name).touch()
    (folder / 'to out').symlink_to('out')
    (folder / 'to sub').symlink_to('out/sub')
    (folder / 'x.png').symlink_to('out/x.png')
    want = ['b.png', 'link.png', 'a/c.png', 'a/deep/d.png', 'album/f.png']
    assert names(list_files(folder, leave_out=folder / 'out'), folder) == want
    # the photos may themselves be in the folder of the results
    assert names(list_files(folder / 'out', leave_out=folder), folder / 'out') == [
        'x.png', 'sub/y.png'
    ]  # fmt: skip


def test_folders_that_cannot_be_listed(folder, monkeypatch):
    real = os.scandir

    def scandir(path):
        if Path(path).name == 'a':
            raise PermissionError(13, 'Permission denied', str(path))
        return real(path)

    monkeypatch.setattr(os, 'scandir', scandir)
    listing = list_files(folder)
    assert names(listing, folder) == ['b.png', 'link.png', 'album/f.png']
    message = rf"Cannot list the folder '{folder}/a' \(Permission denied\); change its permissions"
    assert list(listing.failures) == [folder / 'a']
    for call in (list_files, list_folder):
        with pytest.raises(UserError, match=message):
            call(folder / 'a')
