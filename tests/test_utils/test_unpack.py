"""Archives of data sets are unpacked completely and safely, or not at all."""

import io
import stat
import tarfile
import zipfile

import pytest

from mmspd.errors import UserError
from mmspd.utils import unpack as module
from mmspd.utils.unpack import unpack

FILES = {'Data/train/1.png': b'one', 'Data/test/a/2.png': b'two'}


def write_zip(path, files, mode=0):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return path


def write_tar(path, files, kind=tarfile.REGTYPE, **attributes):
    with tarfile.open(path, 'w:gz') as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(data)
            for key, value in attributes.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return path


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


@pytest.mark.parametrize('write', [write_zip, write_tar])
def test_data_arrive_without_the_folders_around_them(tmp_path, write):
    archive = write(tmp_path / 'archive', {**FILES, 'Data/read me.txt': b''})
    folder = tmp_path / 'new' / 'data'
    (folder / '.unpacking' / 'of a killed process').mkdir(parents=True)
    assert unpack(archive, folder, ['train', 'test']) == 3
    expected = {'train/1.png': b'one', 'test/a/2.png': b'two', 'read me.txt': b''}
    assert contents(folder) == expected
    assert sorted(path.name for path in folder.iterdir()) == ['read me.txt', 'test', 'train']
    with pytest.raises(UserError, match=r"data' is not empty; give another folder"):
        unpack(archive, folder, ['train', 'test'])


LINK = stat.S_IFLNK | 0o777
BAD = {
    'parent': (write_zip, ['../1.png'], {}, r"the entry '\.\./1\.png' leads out of the folder"),
    'inner parent': (write_tar, ['a/../../1.png'], {}, 'leads out of the folder'),
    'absolute': (write_tar, ['/tmp/mmspd.png'], {}, 'leads out of the folder'),
    'backslash': (write_zip, ['..\\1.png'], {}, 'leads out of the folder'),
    'zip link': (write_zip, ['train'], {'mode': LINK}, 'is a link or a special file'),
    'tar link': (
        write_tar,
        ['train'],
        {'kind': tarfile.SYMTYPE, 'linkname': '/', 'size': 0},
        'is a link or a special file',
    ),
    'hard link': (
        write_tar,
        ['train'],
        {'kind': tarfile.LNKTYPE, 'linkname': '/etc/passwd', 'size': 0},
        'is a link or a special file',
    ),
    'device': (write_tar, ['train'], {'kind': tarfile.CHRTYPE, 'size': 0}, 'or a special file'),
    'file as folder': (write_zip, ['train', 'train/1.png'], {}, 'is contained twice'),
    'long name': (write_zip, [f'train/{"a" * 256}'], {}, 'has a name that is too long'),
    'deep folders': (write_zip, ['train/' + 'a/' * 600 + 'b'], {}, 'has a name that is too long'),
    'own folder': (write_zip, ['.unpacking/a', 'train', 'test'], {}, 'a folder of mmspd'),
    'other data': (write_zip, ['photos/1.png'], {}, 'has photos, but train, test are expected'),
}


@pytest.mark.parametrize(('write', 'names', 'options', 'message'), BAD.values(), ids=BAD)
def test_bad_archives_leave_nothing(tmp_path, write, names, options, message):
    archive = write(tmp_path / 'archive', dict.fromkeys(names, b'data'), **options)
    with pytest.raises(UserError, match=message):
        unpack(archive, tmp_path / 'data', ['train', 'test'])
    assert list((tmp_path / 'data').iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ['archive', 'data']


@pytest.mark.parametrize(
    ('write', 'cut', 'message'),
    [
        (write_zip, 30, 'is not a zip or tar archive; download it again'),
        (write_tar, 30, 'is damaged'),
        (write_tar, 4, 'is damaged'),
        (write_tar, None, 'is not a zip or tar archive; download it again'),
    ],
)
def test_incomplete_archives(tmp_path, write, cut, message):
    archive = write(tmp_path / 'archive', FILES)
    archive.write_bytes(archive.read_bytes()[:-cut] if cut else b'no archive')
    with pytest.raises(UserError, match=message):
        unpack(archive, tmp_path / 'data', ['train', 'test'])
    assert list((tmp_path / 'data').glob('*')) == []


def test_a_changed_byte_is_noticed(tmp_path):
    archive = write_zip(tmp_path / 'archive', {'train/1.png': bytes(range(256))})
    data = bytearray(archive.read_bytes())
    data[150] ^= 1
    archive.write_bytes(data)
    with pytest.raises(UserError, match='is damaged'):
        unpack(archive, tmp_path / 'data', ['train'])


@pytest.mark.parametrize('limit', ['_SMALL', '_MOST_ENTRIES'])
def test_bombs_are_refused(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(module, limit, 1)
    archive = write_zip(tmp_path / 'archive', {'train/1': bytes(10**5), 'train/2': b''})
    with pytest.raises(UserError, match='has much more content than its size allows'):
        unpack(archive, tmp_path / 'data', ['train'])
