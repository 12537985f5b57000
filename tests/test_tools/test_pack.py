import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
from collections import namedtuple

import cv2
import numpy as np
import pytest
from support import load_tool

import mmspd  # noqa: F401
from mmspd.datasets import (
    LoadImagePair,
    PairedFolderDataset,
    SharpFolderDataset,
)
from mmspd.datasets.packs import plan as packed_plan
from mmspd.datasets.packs import writer as packed_writer
from mmspd.datasets.packs.plan import check_space, plan_pack
from mmspd.datasets.packs.writer import write_pack
from mmspd.errors import UserError

PAIRS = 6
NAME = 'pairs_input_target.pack'


main = load_tool('dataset_converters/pack.py').main


def write(path, size=(40, 48), seed=0, channels=3, dtype=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size if channels == 1 else (*size, channels)
    image = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    assert cv2.imwrite(str(path), image)
    return image


@pytest.fixture
def root(tmp_path):
    """Pairs of two sizes."""
    for number in range(PAIRS):
        for part, name in enumerate(('input', 'target')):
            path = tmp_path / 'data' / name / f'{number}.png'
            write(path, (40, 48 + number % 2), 2 * number + part)
    return tmp_path / 'data'


@pytest.fixture
def out(tmp_path):
    return tmp_path / 'packs'


def listed(folder):
    return sorted(os.listdir(folder)) if folder.exists() else []


def plan_of(root, out, **how):
    return plan_pack(PairedFolderDataset(str(root), lazy_init=True), out, **how)


def in_process(function, *arguments):
    """Run a function in a process of its own and return its exit code."""
    process = multiprocessing.get_context('fork').Process(target=function, args=arguments)
    process.start()
    process.join(60)
    return process.exitcode


def pack_until(root, out, count, workers):
    """Pack, and be killed once so many pairs are recorded."""
    record = packed_writer._record

    def record_or_die(journal, number, checksums):
        record(journal, number, checksums)
        if number == count - 1:
            os.kill(os.getpid(), signal.SIGKILL)

    packed_writer._record = record_or_die
    write_pack(plan_of(root, out), workers)


def test_command_line(root, out, capsys):
    main([str(root), str(out), '--workers', '2'])
    said = capsys.readouterr().out
    assert f"packing {PAIRS} pairs into '{out / NAME}'" in said
    assert f"'{out / NAME}' is made and verified" in said
    assert listed(out) == [NAME]
    read = PairedFolderDataset(str(root), pipeline=[LoadImagePair()], packed=str(out))
    for number in range(PAIRS):
        image = cv2.imread(str(root / 'target' / f'{number}.png'))
        np.testing.assert_array_equal(read[number]['gt'], image[..., ::-1])
    before = (out / NAME).stat()
    main([str(root), str(out)])
    assert 'is complete and its images are unchanged: nothing to do' in capsys.readouterr().out
    assert (out / NAME).stat() == before


@pytest.mark.parametrize('workers', [0, 2])
def test_a_killed_packer_goes_on_to_the_same_bytes(root, out, tmp_path, workers, monkeypatch):
    write_pack(plan_of(root, tmp_path / 'whole'))
    assert in_process(pack_until, root, out, 3, workers) == -signal.SIGKILL
    assert listed(out) == [f'{NAME}.journal', f'{NAME}.part']
    with open(out / f'{NAME}.journal', 'a') as file:
        file.write('5 12')  # the line that was being written
    jobs = []
    decode = packed_writer._decode
    monkeypatch.setattr(packed_writer, '_decode', lambda job: jobs.append(job) or decode(job))
    write_pack(plan_of(root, out))
    assert [job.pair.key for job in jobs] == ['3', '4', '5']
    assert listed(out) == [NAME]
    assert (out / NAME).read_bytes() == (tmp_path / 'whole' / NAME).read_bytes()


def test_what_a_crash_of_the_machine_lost_is_made_again(root, out, tmp_path):
    write_pack(plan_of(root, tmp_path / 'whole'))
    assert in_process(pack_until, root, out, 3, 0) == -signal.SIGKILL
    with open(out / f'{NAME}.part', 'r+b') as file:
        file.seek(4096)
        file.write(bytes(1000))
    write_pack(plan_of(root, out))
    assert (out / NAME).read_bytes() == (tmp_path / 'whole' / NAME).read_bytes()


def test_a_changed_image_starts_anew(root, out, capsys):
    assert in_process(pack_until, root, out, 3, 0) == -signal.SIGKILL
    write(root / 'input' / '0.png', seed=99)
    write_pack(plan_of(root, out))
    first = (out / NAME).read_bytes()
    read = PairedFolderDataset(str(root), pipeline=[LoadImagePair()], packed=str(out))
    image = cv2.imread(str(root / 'input' / '0.png'))
    np.testing.assert_array_equal(read[0]['img'], image[..., ::-1])
    os.utime(root / 'input' / '5.png', ns=(1, 1))
    main([str(root), str(out), '--workers', '0'])
    assert 'is made and verified' in capsys.readouterr().out
    assert (out / NAME).read_bytes() != first


def test_a_damaged_pack_is_made_again(root, out):
    write_pack(plan_of(root, out))
    whole = (out / NAME).read_bytes()
    (out / NAME).write_bytes(whole[:5000])
    main([str(root), str(out), '--workers', '0'])
    assert (out / NAME).read_bytes() == whole


def test_the_pack_of_another_folder_is_not_overwritten(root, out, tmp_path):
    write_pack(plan_of(root, out))
    other = tmp_path / 'moved'
    shutil.copytree(root, other)  # keeps the times
    assert plan_of(other, out).complete
    write(other / 'input' / '0.png', seed=99)
    with pytest.raises(UserError, match=r"pack of another folder, '.*data': choose another output"):
        plan_of(other, out)


def test_two_packers_at_once(root, out):
    plan = plan_of(root, out)
    out.mkdir()
    with open(plan.journal, 'a') as file:
        fcntl.lockf(file, fcntl.LOCK_EX)

        def other():
            with pytest.raises(UserError, match=rf"{NAME}' is being made by another process"):
                write_pack(plan)

        assert in_process(other) == 0
        assert listed(out) == [plan.journal.name]


def test_a_small_disk_is_refused_before_anything_is_done(root, out, monkeypatch):
    usage = namedtuple('usage', 'total used free')(10**6, 10**6 - 5000, 5000)
    monkeypatch.setattr(packed_plan.shutil, 'disk_usage', lambda path: usage)
    with pytest.raises(
        UserError, match=r"packing needs 10\d,\d{3} bytes in '.*packs', 5,000 are free: free some"
    ):
        main([str(root), str(out)])
    assert not out.exists()


def test_space_counts_what_is_there_already(root, out, monkeypatch):
    assert in_process(pack_until, root, out, 3, 0) == -signal.SIGKILL
    usage = namedtuple('usage', 'total used free')(10**6, 10**6 - 5000, 5000)
    monkeypatch.setattr(packed_plan.shutil, 'disk_usage', lambda path: usage)
    plan = plan_of(root, out)
    check_space([plan], out)
    write_pack(plan)
    check_space([plan_of(root, out)], out)


@pytest.mark.parametrize(
    ('code', 'message'),
    [
        (errno.ENOSPC, r'packing needs 10\d,\d{3} bytes in .*, 5,000 are free'),
        (errno.EIO, r"cannot write '.*\.pack': Input/output error"),
    ],
)
def test_the_disk_fails_when_room_is_taken(root, out, monkeypatch, code, message):
    def fail(*arguments):
        raise OSError(code, os.strerror(code))

    plan = plan_of(root, out)
    usage = namedtuple('usage', 'total used free')(10**6, 10**6 - 5000, 5000)
    monkeypatch.setattr(packed_plan.shutil, 'disk_usage', lambda path: usage)
    monkeypatch.setattr(packed_writer.os, 'posix_fallocate', fail)
    monkeypatch.setattr(packed_writer, 'read_rgb', None)  # nothing is decoded
    with pytest.raises(UserError, match=message):
        write_pack(plan)
    assert listed(out) == []


def test_a_disk_that_returns_other_bytes(root, out, monkeypatch):
    monkeypatch.setattr(packed_writer, 'verify_pack', lambda path: ['input/2.png'])
    with pytest.raises(UserError, match=r"for 1 images \(the first: 'input/2\.png'\): check the"):
        write_pack(plan_of(root, out))
    assert listed(out) == []


@pytest.mark.parametrize('workers', [0, 2])
def test_unreadable_images_are_named_and_nothing_is_left(root, out, workers):
    for name in ('input/1', 'target/1', 'target/2', 'input/4'):
        path = root / f'{name}.png'
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        UserError,
        match=r"^4 images of 6 pairs cannot be packed: cannot decode '.*input/1\.png'.*; cannot "
        r"decode '.*target/1\.png'.*; cannot decode '.*target/2\.png'.*; and 1 more$",
    ):
        main([str(root), str(out), '--workers', str(workers)])
    assert listed(out) == []


def test_faults_that_headers_show_are_told_at_once(root, out):
    write(root / 'target' / '1.png', (40, 50))
    (root / 'input' / '3.png').write_bytes(b'no image')
    with pytest.raises(
        UserError,
        match=r"2 images of 6 pairs cannot be packed: cannot decode '.*3\.png'.*; a pair needs "
        r"equal sizes, but 'input/1\.png' is 49x40, 'target/1\.png' is 50x40",
    ):
        main([str(root), str(out), '--workers', '0'])
    assert not out.exists()
    (root / 'input' / '3.png').unlink()
    (root / 'input' / '3.png').symlink_to('absent.png')
    with pytest.raises(UserError, match=r"cannot read the image '.*3\.png': No such file"):
        main([str(root), str(out), '--workers', '0'])


def test_colors_are_converted_when_asked_for(root, out):
    gray = write(root / 'input' / '0.png', channels=1)
    alpha = write(root / 'input' / '1.png', (40, 49), channels=4)
    deep = write(root / 'target' / '2.png', dtype=np.uint16)
    with pytest.raises(
        UserError, match=r'3 images of 6 pairs .*no color.*alpha.*16 bits.*; give --to-rgb to conv'
    ):
        main([str(root), str(out), '--workers', '0'])
    assert listed(out) == []
    main([str(root), str(out), '--workers', '0', '--to-rgb'])
    read = PairedFolderDataset(str(root), pipeline=[LoadImagePair()], packed=str(out))
    np.testing.assert_array_equal(read[0]['img'], np.repeat(gray[..., None], 3, 2))
    np.testing.assert_array_equal(read[1]['img'], alpha[..., 2::-1])
    np.testing.assert_array_equal(read[2]['gt'], np.rint(deep[..., ::-1] / 257))


def test_turned_photos_are_packed_as_they_are_read(root, out):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ('input', 'target'):
        (root / name / '0.png').unlink()
        Image.open(root / name / '2.png').save(root / name / '0.jpg', exif=exif)
    main([str(root), str(out), '--workers', '0'])
    raw = PairedFolderDataset(str(root), pipeline=[LoadImagePair()])[0]
    read = PairedFolderDataset(str(root), pipeline=[LoadImagePair()], packed=str(out))[0]
    assert read['img'].shape == (48, 40, 3)
    np.testing.assert_array_equal(read['img'], raw['img'])


def test_the_parts_of_a_data_set_are_chosen(tmp_path, out, capsys):
    root = tmp_path / 'GOPRO_Large'
    for split in ('train', 'test'):
        for name in ('blur', 'blur_gamma', 'sharp'):
            write(root / split / 'S' / name / '1.png')
    main([str(root), str(out), '--workers', '0', '--split', 'train', '--blur-key', 'blur_gamma'])
    assert listed(out) == ['gopro_train_blur_gamma.pack']
    main([str(root), str(out), '--workers', '0'])
    assert listed(out)[:2] == ['gopro_test_blur.pack', 'gopro_train_blur.pack']
    with pytest.raises(
        UserError, match=r'ask for, but split=test, blur_key=blur; split=test, blur'
    ):
        main([str(root), str(out), '--split', 'val', 'train'])


def test_sharp_photos(root, out):
    arguments = [str(root), str(out), '--workers', '0', '--sharp-photos']
    main([*arguments, 'target'])
    assert listed(out) == ['sharp_target.pack']
    read = SharpFolderDataset(str(root), 'target', packed=str(out))
    assert len(read) == PAIRS
    sample = LoadImagePair()(read[1])
    np.testing.assert_array_equal(sample['img'], sample['gt'])
    with pytest.raises(UserError, match='holds blurry photos too'):
        main(arguments)
    with pytest.raises(UserError, match=r'packs --sharp-photos input, or set'):
        SharpFolderDataset(str(root), 'input', packed=str(out))


def test_realblur_subsets(tmp_path, out):
    for subset in 'JR':
        write(tmp_path / 'data' / subset / 'scene' / 'gt' / 'gt_1.png')
        write(tmp_path / 'data' / subset / 'scene' / 'blur' / 'blur_1.png')
        line = f'{subset}/scene/gt/gt_1.png {subset}/scene/blur/blur_1.png\n'
        (tmp_path / 'data' / f'RealBlur_{subset}_test_list.txt').write_text(line)
    main([str(tmp_path / 'data'), str(out), '--workers', '0', '--subset', 'R'])
    assert listed(out) == ['realblur_R_test.pack']


def test_an_output_that_cannot_be_a_folder(root, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match=r"cannot write '.*\.pack': File exists|Not a directory"):
        main([str(root), str(tmp_path / 'file'), '--workers', '0'])
