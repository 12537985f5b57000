"""Odd files and links in data sets: nothing hangs, nothing is skipped silently."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from samples import mmengine_log, photo

from mmspd.datasets import PhotoFolderDataset, SharpFolderDataset
from mmspd.datasets.blur import folder as blur_folder
from mmspd.datasets.blur.folder import FolderPlan, synthesize_folder
from mmspd.datasets.blur.synthesis import BlurSpec
from mmspd.datasets.doctor import check_data
from mmspd.datasets.doctor import images as doctor_images
from mmspd.datasets.folders import PairedFolderDataset
from mmspd.datasets.image_io import images_by_stem
from mmspd.datasets.packs import writer
from mmspd.datasets.packs.pack import read_pack
from mmspd.errors import UserError

NAMES = ('a', 'ä' * 123, 'two\nlines', os.fsdecode(b'not \xff unicode'))
PLAN = FolderPlan((BlurSpec('mild'),))


@pytest.fixture
def pairs(tmp_path):
    """Pairs with odd names."""
    for seed, name in enumerate(NAMES):
        for part, shift in (('input', 0), ('target', 100)):
            (tmp_path / 'data' / part).mkdir(parents=True, exist_ok=True)
            data = cv2.imencode('.png', photo(40, 48, seed + shift))[1].tobytes()
            (tmp_path / 'data' / part / f'{name}.png').write_bytes(data)
    return tmp_path / 'data'


def add_odd_entries(folder):
    """Add entries that no reader may open, and files of other kinds."""
    os.mkfifo(folder / 'pipe.png')
    (folder / 'loop').symlink_to(folder)
    for name in ('IMG_1.NEF', 'notes.txt', '.hidden'):
        (folder / name).touch()


SKIPPED = 'Skipped 4 files that are not supported images: IMG_1.NEF (raw photo), loop (the same fol'


def test_images_are_found_once_and_the_rest_is_said(pairs, caplog):
    add_odd_entries(pairs / 'input')
    with mmengine_log(caplog):
        images = images_by_stem(pairs / 'input')
    assert set(images) == set(NAMES)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"'{pairs / 'input'}': {SKIPPED}")
    assert record.getMessage().endswith('pipe.png (pipe, socket or device), notes.txt.')


@pytest.mark.parametrize('kind', [PhotoFolderDataset, SharpFolderDataset])
def test_folders_of_photos(pairs, caplog, kind):
    add_odd_entries(pairs / 'target')
    (pairs / 'target' / 'album').symlink_to(pairs / 'input')
    with mmengine_log(caplog):
        dataset = kind(str(pairs / 'target'), lazy_init=kind is SharpFolderDataset)
        keys = [info['key'] for info in dataset.load_data_list()]
    assert sorted(keys) == sorted([*NAMES, *(f'album/{name}' for name in NAMES)])
    assert SKIPPED in caplog.text


def test_a_subfolder_that_cannot_be_listed_is_one_sentence(pairs, monkeypatch):
    (pairs / 'input' / 'sub').mkdir()
    real = os.scandir

    def scandir(path):
        if Path(path).name == 'sub':
            raise PermissionError(13, 'Permission denied', str(path))
        return real(path)

    monkeypatch.setattr(os, 'scandir', scandir)
    with pytest.raises(UserError, match=r"Cannot list the folder '.*sub' \(Permission denied\)"):
        images_by_stem(pairs / 'input')
    report = check_data(pairs, quick=True, crop=32)
    assert 'Cannot list the folder' in report.findings[0].text


def test_check_reports_each_bad_file_and_reads_the_others(pairs, monkeypatch):
    add_odd_entries(pairs / 'input')
    for part in ('input', 'target'):
        (pairs / part / 'self.png').symlink_to('self.png')
        (pairs / part / 'tiny.png').write_bytes(
            cv2.imencode('.png', np.zeros((1, 1, 3), np.uint8))[1].tobytes()
        )
    read = doctor_images.read_rgb

    def fail(path, **how):
        if path.name == 'a.png' and path.parent.name == 'input':
            raise MemoryError
        return read(path, **how)

    monkeypatch.setattr(doctor_images, 'read_rgb', fail)
    report = check_data(pairs, crop=32)
    (finding,) = [each for each in report.findings if each.check == 'unreadable']
    assert finding.names[0].startswith('input/a.png: ')
    assert finding.names[1:] == (
        'input/self.png: Too many levels of symbolic links',
        'target/self.png: Too many levels of symbolic links',
    )
    assert list(report.pairs.values()) == [len(NAMES) + 2]
    assert 'two\\nlines' not in report.text()
    assert json.loads(json.dumps(report.to_dict()))['exit_code'] == 3


def test_packs_of_odd_names(pairs, tmp_path):
    add_odd_entries(pairs / 'input')
    plan = writer.plan_pack(PairedFolderDataset(str(pairs), lazy_init=True), tmp_path / 'packs')
    writer.write_pack(plan)
    pack = read_pack(plan.path)
    assert {pair.key for pair in pack.pairs} == set(NAMES)
    assert pack.verify() == []


@pytest.mark.parametrize('name', ['read_size', 'read_rgb'])
def test_pack_names_every_bad_file(pairs, tmp_path, monkeypatch, name):
    real = getattr(writer, name)

    def fail(path, *arguments):
        if Path(path).name == 'a.png':
            raise OverflowError('too large')
        return real(path, *arguments)

    monkeypatch.setattr(writer, name, fail)
    (pairs / 'input' / f'{NAMES[1]}.png').write_bytes(b'')
    dataset = PairedFolderDataset(str(pairs), lazy_init=True)
    with pytest.raises(UserError) as caught:
        writer.write_pack(writer.plan_pack(dataset, tmp_path / 'packs'))
    if name == 'read_size':
        assert str(caught.value).startswith('2 of 4 pairs cannot be packed: ')
        assert "a.png' cannot be used (OverflowError: too large)" in str(caught.value)
    assert NAMES[1] in str(caught.value)


def test_synthesis_skips_bad_photos_and_says_so(pairs, tmp_path, monkeypatch, caplog):
    add_odd_entries(pairs / 'target')
    (pairs / 'target' / 'self.png').symlink_to('self.png')
    nested = pairs / 'target' / ('b' * 200) / ('c' * 200)
    nested.mkdir(parents=True)
    (pairs / 'target' / 'a.png').rename(nested / 'a.png')  # too long for one name
    read = blur_folder.read_rgb

    def fail(path):
        if path.name.startswith('two'):
            raise RuntimeError('bug of a decoder')
        return read(path)

    monkeypatch.setattr(blur_folder, 'read_rgb', fail)
    with mmengine_log(caplog):
        made = synthesize_folder(pairs / 'target', tmp_path / 'out', PLAN, skip_unusable=True)
    assert made == {'train': 1, 'test': 1, 'skipped': 3}
    for text in (SKIPPED, 'self.png', 'File name too long', 'RuntimeError: bug of a decoder'):
        assert text in caplog.text


@pytest.mark.parametrize('content', [b'\xff\xfe', b'{', b'7'])
def test_a_damaged_record_of_a_photo_is_made_again(pairs, tmp_path, content):
    out = tmp_path / 'out'
    made = synthesize_folder(pairs / 'target', out, PLAN)
    records = {path: path.read_bytes() for path in out.glob('*/*/record.json')}
    assert len(records) == len(NAMES)
    next(iter(records)).write_bytes(content)
    assert synthesize_folder(pairs / 'target', out, PLAN) == made
    assert {path: path.read_bytes() for path in records} == records
    (out / 'settings.json').write_bytes(content)
    with pytest.raises(UserError, match='was made with other settings or photos'):
        synthesize_folder(pairs / 'target', out, PLAN)


@pytest.mark.parametrize('line', ['[', '7', '[0]', '["a", [1, 2]]', '[99, [1, 2]]', '[0, [1]]'])
def test_a_damaged_journal_starts_the_pack_again(pairs, tmp_path, line):
    plan = writer.plan_pack(PairedFolderDataset(str(pairs), lazy_init=True), tmp_path / 'packs')
    part = tmp_path / 'packs' / f'{plan.path.name}.part'
    part.mkdir(parents=True)
    np.lib.format.open_memmap(part / 'pixels.npy', 'w+', np.uint8, (plan.nbytes,))
    journal = part / 'journal.jsonl'
    journal.write_text(f'{plan.to_json()}\n{line}\n')
    writer.write_pack(plan)
    assert read_pack(plan.path).verify() == []
