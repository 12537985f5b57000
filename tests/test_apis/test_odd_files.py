"""One bad file never stops the restoration of the others, and nothing hangs."""

import os
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from samples import photo

from mmspd.apis import inferencer as module
from mmspd.apis.inferencer import DeblurInferencer
from mmspd.apis.jobs import RestoredRecord, search
from mmspd.errors import DiskFullError, UserError

LONG = 'ä' * 123 + '.png'  # 250 bytes
ODD = (LONG, 'two\nlines.png', os.fsdecode(b'not \xff unicode.png'))
GENERATOR = dict(type='mmspd.MIMOUNet', base=4, num_res=1)
LOSSES = dict(loss_pix=dict(type='mmagic.L1Loss'))
MODEL = dict(type='mmspd.SemanticPriorDeblurrer', generator=GENERATOR, losses=LOSSES)


@pytest.fixture(scope='module')
def inferencer():
    return DeblurInferencer(Config(dict(model=MODEL)), device='cpu')


@pytest.fixture
def folder(tmp_path):
    """Two photos."""
    root = tmp_path / 'in'
    root.mkdir()
    for name in ('a.png', 'z.png'):
        Image.fromarray(photo()).save(root / name)
    return root


@pytest.fixture
def faulty(monkeypatch):
    """Return a function that lets a method fail for the photo ``m.png``."""

    def make(owner, name, error):
        real = getattr(owner, name)

        def fail(first, *arguments):
            if Path(first).name == 'm.png':
                raise error
            return real(first, *arguments)

        monkeypatch.setattr(owner, name, fail)

    return make


def outcome(results):
    """The names of the written files, and the failures by name."""
    written = {Path(path).name for path in results['predictions'] if path}
    return written, {Path(name).name: text for name, text in results['failures'].items()}


def test_odd_names_and_entries(inferencer, folder, tmp_path):
    for name in ODD:
        Image.fromarray(photo()).save(folder / name)
    (tmp_path / 'album').mkdir()
    Image.fromarray(photo()).save(tmp_path / 'album' / 'linked.png')
    (folder / 'album').symlink_to(tmp_path / 'album')
    (folder / 'loop').symlink_to(folder)
    (folder / 'self.png').symlink_to('self.png')
    (folder / 'nowhere.jpg').symlink_to('nothing')
    os.mkfifo(folder / 'pipe.png')
    for name in ('IMG_1.CR2', 'IMG_2.jxl', 'notes.txt'):
        (folder / name).touch()
    out = folder / 'out'
    for again in (False, True):
        results = inferencer(folder, out, recursive=True)
        written, failures = outcome(results)
        assert written == {'a.png', 'z.png', 'linked.png', *ODD}
        assert failures.keys() == {'self.png', 'nowhere.jpg'}
        assert 'Too many levels of symbolic links' in failures['self.png']
        assert 'No such file' in failures['nowhere.jpg']
        ignored = {Path(name).name: reason for name, reason in results['ignored'].items()}
        assert ignored == {
            'loop': f"the same folder as '{folder}'",
            'pipe.png': 'pipe, socket or device',
            'IMG_1.CR2': 'raw photo',
            'IMG_2.jxl': 'JPEG XL',
            'notes.txt': '',
        }
        assert len(results['skipped']) == (6 if again else 0)
    for name in (*ODD, 'album/linked.png'):
        assert Image.open(out / name).size == (32, 24)


@pytest.mark.parametrize(
    'error',
    [
        MemoryError(),
        OverflowError('too large'),
        zlib.error('Error -3'),
        struct.error('unpack'),
        cv2.error('imdecode'),
        RuntimeError('bug of a codec'),
        RecursionError('deep'),
        AssertionError(),
        FileNotFoundError(2, 'No such file or directory'),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_error_of_a_decoder_is_the_sentence_of_its_file(inferencer, folder, faulty, error):
    Image.fromarray(photo()).save(folder / 'm.png')
    faulty(module, 'read_photo', error)
    results = inferencer(folder, show_progress=False)
    assert [result is not None for result in results['predictions']] == [True, False, True]
    (sentence,) = results['failures'].values()
    reason = getattr(error, 'strerror', None) or type(error).__name__
    assert sentence.startswith(f"'{folder / 'm.png'}' cannot be used ({reason}")
    assert '(MemoryError);' in sentence or not isinstance(error, MemoryError)
    with pytest.raises(UserError, match='cannot be used'):
        inferencer(folder / 'm.png')


def test_an_encoder_that_fails(inferencer, folder, tmp_path, monkeypatch):
    def encode(_):
        raise SystemError('encoder error -2')

    def read(path):
        image = real(path)
        return (
            SimpleNamespace(pixels=image.pixels, encode=encode) if path.name == 'a.png' else image
        )

    real = module.read_photo
    monkeypatch.setattr(module, 'read_photo', read)
    written, failures = outcome(inferencer(folder, tmp_path / 'out'))
    assert written == {'z.png'}
    assert 'cannot be used (SystemError: encoder error -2)' in failures['a.png']


def test_a_result_whose_name_is_too_long(inferencer, folder, tmp_path):
    (folder / 'a.png').rename(folder / LONG)
    written, failures = outcome(inferencer(folder, tmp_path / 'out', suffix='_sharp'))
    assert written == {'z_sharp.png'}
    assert '(File name too long); choose another path.' in failures[LONG]


def test_a_full_disk_stops_the_run(inferencer, folder, tmp_path, faulty):
    (folder / 'a.png').rename(folder / 'm.png')
    faulty(module, 'write_bytes', DiskFullError('No disk space is left to write; free some space.'))
    with pytest.raises(DiskFullError, match='No disk space is left'):
        inferencer(folder, tmp_path / 'out')
    assert not (tmp_path / 'out' / 'z.png').exists()


def test_files_that_vanish_or_change_during_the_run(inferencer, folder, tmp_path, monkeypatch):
    for name in ('b.png', 'c.png'):
        Image.fromarray(photo()).save(folder / name)
    real = module.read_photo

    def read(path):
        image = real(path)
        if path.name == 'a.png':
            (folder / 'b.png').unlink()
            path.unlink()  # the photo is already read
        if path.name == 'c.png':
            Image.fromarray(photo(seed=1)).save(path)
        return image

    monkeypatch.setattr(module, 'read_photo', read)
    results = inferencer(folder, tmp_path / 'out')
    assert outcome(results)[0] == {'a.png', 'c.png', 'z.png'}
    assert 'No such file' in outcome(results)[1]['b.png']
    monkeypatch.undo()
    # the new content of c.png is not restored yet
    assert inferencer(folder, tmp_path / 'out')['skipped'] == [folder / 'z.png']


@pytest.mark.parametrize(
    'line', [b'[]', b'7', b'{"file": 1}', b'{"file": "a.png"}', b'\xff\xfe\x00', b'[' * 100_000]
)
def test_a_damaged_line_of_the_record(inferencer, folder, tmp_path, line):
    out = tmp_path / 'out'
    inferencer([folder / 'a.png', folder / 'z.png'], out)
    record = out / RestoredRecord.NAME
    lines = record.read_bytes().split(b'\n')
    assert [b'"a.png"' in each for each in lines] == [False, True, False]
    record.write_bytes(b'\n'.join([lines[0], line, lines[2]]))
    Image.fromarray(photo()).save(folder / 'b.png')
    results = inferencer(folder, out)
    assert results['skipped'] == [folder / 'z.png']
    assert results['predictions'] == [None, out / 'b.png', out / 'z.png']
    assert 'exists and was made by another program' in outcome(results)[1]['a.png']


def test_a_record_that_is_a_pipe(inferencer, folder, tmp_path):
    (tmp_path / 'out').mkdir()
    os.mkfifo(tmp_path / 'out' / RestoredRecord.NAME)
    with pytest.raises(UserError, match=r"restored.jsonl' is not a file; choose another output"):
        inferencer(folder, tmp_path / 'out')


def test_a_subfolder_that_cannot_be_listed(inferencer, folder, tmp_path, monkeypatch):
    (folder / 'sub').mkdir()
    real = os.scandir

    def scandir(path):
        if Path(path).name == 'sub':
            raise PermissionError(13, 'Permission denied', str(path))
        return real(path)

    monkeypatch.setattr(os, 'scandir', scandir)
    results = inferencer(folder, tmp_path / 'out', recursive=True)
    written, failures = outcome(results)
    assert written == {'a.png', 'z.png'}
    assert list(failures) == ['sub']
    assert 'Cannot list the folder' in failures['sub']


def test_pipes_and_raw_photos_that_are_named(inferencer, folder):
    os.mkfifo(folder / 'pipe.png')
    with pytest.raises(UserError, match=r"pipe.png' is a pipe, socket or device; give a photo"):
        inferencer(folder / 'pipe.png')
    Image.fromarray(photo()).save(folder / 'b.tif')
    (folder / 'b.tif').rename(folder / 'b.dng')  # the preview of a raw photo is a TIFF image
    with pytest.raises(UserError, match=r"b.dng' is of a kind \(raw photo\) that is not supported"):
        inferencer(folder / 'b.dng')


def test_bad_inputs_in_a_list_do_not_stop_the_others(inferencer, folder, tmp_path):
    """A shell expands ``in/*`` to such a list."""
    os.mkfifo(folder / 'pipe.png')
    (folder / 'self.png').symlink_to('self.png')
    (folder / 'empty').mkdir()
    names = ('a.png', 'empty', 'missing.png', 'none*.png', 'pipe.png', 'self.png', 'z.png')
    results = inferencer([folder / name for name in names], tmp_path / 'out')
    written, failures = outcome(results)
    assert written == {'a.png', 'z.png'}
    assert failures.keys() == set(names) - written
    for name, text in (
        ('empty', 'has no photo or video'),
        ('missing.png', 'does not exist; check the path'),
        ('none*.png', 'matches no file; check the path'),
        ('pipe.png', 'is a pipe, socket or device; give a photo'),
        ('self.png', 'Too many levels of symbolic links'),
    ):
        assert text in failures[name]
    with pytest.raises(UserError, match='does not exist'):
        inferencer([folder / 'missing.png', folder / 'missing.jpg'], tmp_path / 'out')
    with pytest.raises(UserError, match='Too many levels of symbolic links'):
        inferencer(folder / 'self.png', tmp_path / 'out')


def test_everything_that_is_not_used_is_said(folder):
    (folder / 'sub').mkdir()
    (folder / 'copy.png').symlink_to('a.png')
    found = search([folder], None)
    assert [job.source.name for job in found.jobs] == ['a.png', 'z.png']
    assert found.ignored == {
        folder / 'sub': 'folder',
        folder / 'copy.png': f"the same file as '{folder / 'a.png'}'",
    }
    assert search([str(folder / '*')], None).ignored == found.ignored


def test_recursive_patterns_follow_no_loops(folder, tmp_path):
    for name in ('x/b.png', 'x/y/c.png', 'x/y/d.jpg', 'out/a.png'):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    for name in ('loop', 'again', 'third'):  # three links give more than 10^19 paths
        (folder / name).symlink_to(folder)
    os.mkfifo(folder / 'x' / 'pipe.png')
    found = search([str(folder / '**' / '*.png')], folder / 'out')
    assert [job.source.relative_to(folder).as_posix() for job in found.jobs] == [
        'a.png', 'z.png', 'x/b.png', 'x/y/c.png'
    ]  # fmt: skip
    assert found.ignored == {folder / 'x' / 'pipe.png': 'pipe, socket or device'}
    for pattern, names in (
        ('**/y/*', ['c.png', 'd.jpg']),
        ('x/**/[bd].*', ['b.png', 'd.jpg']),
        ('?/**', ['b.png', 'c.png', 'd.jpg']),
    ):
        jobs = search([str(folder / pattern)], None).jobs
        assert [job.source.name for job in jobs] == names


@pytest.mark.parametrize(
    ('suffix', 'format'),
    [('.mpo', 'JPEG'), ('.insp', 'JPEG'), ('.jfif', 'JPEG'), ('.JPE', 'JPEG'), ('.pnm', 'PPM')],
)
def test_suffixes_of_cameras_and_phones(inferencer, folder, tmp_path, suffix, format):
    name = f'IMG{suffix}'
    Image.fromarray(photo()).save(folder / name, format)
    results = inferencer(folder, tmp_path / 'out')
    assert tmp_path / 'out' / name in results['predictions']
    restored = Image.open(tmp_path / 'out' / name)
    assert (restored.format, restored.size) == (format, (32, 24))
    assert np.asarray(restored).std() > 10
