import errno
import fcntl
import multiprocessing
import os
import shutil
import signal

import numpy as np
import pytest
from PIL import Image
from support import load_tool

from mmspd.datasets import LoadImagePair, PairedFolderDataset, SharpFolderDataset
from mmspd.datasets.image_io import read_rgb
from mmspd.datasets.packs import writer
from mmspd.datasets.packs.writer import plan_pack, write_pack
from mmspd.errors import UserError

PAIRS = 6
NAME = 'pairs_input_target'

main = load_tool('dataset_converters/pack.py').main


@pytest.fixture
def out(tmp_path):
    return tmp_path / 'packs'


def names_in(folder):
    return sorted(os.listdir(folder)) if folder.exists() else []


def contents(folder):
    return {name: (folder / NAME / name).read_bytes() for name in names_in(folder / NAME)}


def plan_of(root, out):
    return plan_pack(PairedFolderDataset(str(root), lazy_init=True), out)


def read(root, out):
    return PairedFolderDataset(str(root), pipeline=[LoadImagePair()], packed=str(out))


def in_process(function, *arguments):
    """Run a function in a new process and return the exit code."""
    process = multiprocessing.get_context('fork').Process(target=function, args=arguments)
    process.start()
    process.join(60)
    return process.exitcode


def pack_until(root, out, count, workers=0):
    """Pack, and kill this process after ``count`` pairs are recorded."""

    def stop(results, **options):
        for number, result in enumerate(results):
            if number == count:
                os.kill(os.getpid(), signal.SIGKILL)
            yield result

    writer.tqdm = stop
    write_pack(plan_of(root, out), workers)


def test_command_line(root, out, capsys):
    main([str(root), str(out), '--workers', '2'])
    printed = capsys.readouterr().out
    assert f"Packing {PAIRS} pairs into '{out / NAME}'" in printed
    assert f"'{out / NAME}' is written and verified" in printed
    assert names_in(out) == [NAME]
    assert names_in(out / NAME) == ['index.json', 'pixels.npy']
    dataset = read(root, out)
    for number in range(PAIRS):
        image = read_rgb(root / 'target' / f'{number}.png')
        np.testing.assert_array_equal(dataset[number]['gt'], image)
    before = (out / NAME / 'pixels.npy').stat()
    main([str(root), str(out)])
    assert 'is complete and up to date' in capsys.readouterr().out
    assert (out / NAME / 'pixels.npy').stat() == before


@pytest.mark.parametrize('workers', [0, 2])
def test_a_killed_packer_goes_on_to_the_same_bytes(root, out, tmp_path, workers, monkeypatch):
    write_pack(plan_of(root, tmp_path / 'whole'))
    assert in_process(pack_until, root, out, 3, workers) == -signal.SIGKILL
    assert names_in(out) == [f'{NAME}.part']
    with open(out / f'{NAME}.part' / 'journal.jsonl', 'a') as file:
        file.write('[5, [12')  # an incomplete line
    pixels = np.load(out / f'{NAME}.part' / 'pixels.npy', mmap_mode='r+')
    pixels[:1000] = 0  # lost in a crash of the machine
    pixels.flush()
    decoded = []
    monkeypatch.setattr(
        writer, 'read_rgb', lambda path, to_rgb: decoded.append(path.stem) or read_rgb(path)
    )
    write_pack(plan_of(root, out))
    assert decoded == ['0', '0', '3', '3', '4', '4', '5', '5']
    assert names_in(out) == [NAME]
    assert contents(out) == contents(tmp_path / 'whole')


def test_changed_images_and_damaged_packs_start_anew(root, out, write_image):
    assert in_process(pack_until, root, out, 3) == -signal.SIGKILL
    image = write_image(root / 'input' / '0.png', seed=99)
    write_pack(plan_of(root, out))
    np.testing.assert_array_equal(read(root, out)[0]['img'], image)
    first = contents(out)
    (out / NAME / 'pixels.npy').write_bytes(first['pixels.npy'][:5000])
    main([str(root), str(out), '--workers', '0'])
    assert contents(out) == first
    os.utime(root / 'input' / '5.png', ns=(1, 1))
    main([str(root), str(out), '--workers', '0'])
    assert contents(out) != first


def test_what_is_not_the_pack_of_this_folder_is_not_overwritten(root, out, tmp_path, write_image):
    (out / NAME).mkdir(parents=True)
    (out / NAME / 'mine').write_text('')
    with pytest.raises(UserError, match=rf"Cannot write '.*{NAME}', .* \(Directory not empty"):
        write_pack(plan_of(root, out))
    assert names_in(out / NAME) == ['mine']
    with pytest.raises(UserError, match=r"Cannot write '.*mine/\w+', .* \((File exists|Not a dir)"):
        write_pack(plan_of(root, out / NAME / 'mine'))
    shutil.rmtree(out)
    write_pack(plan_of(root, out))
    other = tmp_path / 'moved'
    shutil.copytree(root, other)  # keeps the modification times
    assert plan_of(other, out).complete
    write_image(other / 'input' / '0.png', seed=99)
    with pytest.raises(UserError, match=r"pack of another folder, '.*data'; choose another output"):
        plan_of(other, out)


def test_two_packers_at_once(root, out):
    plan = plan_of(root, out)
    journal = out / f'{NAME}.part' / 'journal.jsonl'
    journal.parent.mkdir(parents=True)
    with open(journal, 'a') as file:
        fcntl.lockf(file, fcntl.LOCK_EX)

        def other():
            with pytest.raises(UserError, match=rf"{NAME}' is being written by another process"):
                write_pack(plan)

        assert in_process(other) == 0
        assert names_in(journal.parent) == [journal.name]


def test_a_full_disk_is_noticed_before_anything_is_decoded(root, out, monkeypatch):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writer.os, 'posix_fallocate', fail)
    monkeypatch.setattr(writer, 'read_rgb', None)
    message = rf"Cannot write '.*{NAME}', \d{{2}},\d{{3}} bytes \(No space left on device"
    with pytest.raises(UserError, match=message):
        write_pack(plan_of(root, out))
    assert names_in(out) == []


def test_a_disk_that_returns_other_bytes(root, out, monkeypatch):
    # reserves the space, but writes no pixels
    monkeypatch.setattr(writer, '_decode', lambda part, root, to_rgb, pair: [1, 2])
    with pytest.raises(UserError, match=r"for 12 images \(first 'input/0\.png'\); check the"):
        write_pack(plan_of(root, out))
    assert names_in(out) == []


def test_unreadable_images_are_named_and_nothing_is_left(root, out):
    for name in ('input/1', 'target/1', 'target/2', 'input/4', 'input/5'):
        path = root / f'{name}.png'
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        UserError,
        match=r"^4 of 6 pairs cannot be packed: Cannot decode '.*input/1\.png'.*\. Cannot "
        r"decode '.*target/2\.png'.*\. Cannot decode '.*input/4\.png'.*\. And 1 more\.$",
    ):
        main([str(root), str(out), '--workers', '2'])
    assert names_in(out) == []


def test_faults_that_headers_show_are_reported_at_once(root, out, write_image):
    write_image(root / 'target' / '1.png', (40, 50))
    (root / 'input' / '3.png').write_bytes(b'no image')
    (root / 'input' / '4.png').unlink()
    (root / 'input' / '4.png').symlink_to('absent.png')
    with pytest.raises(
        UserError,
        match=r"3 of 6 pairs cannot be packed: 'input/1\.png' is 49x40 and 'target/1\.png' is "
        r"50x40 pixels; give .* Cannot decode '.*3\.png'.* Cannot read the image "
        r"'.*4\.png' \(No such file",
    ):
        main([str(root), str(out), '--workers', '0'])
    assert not out.exists()


def test_colors_are_converted_when_asked_for(root, out, write_image):
    gray = write_image(root / 'input' / '0.png', channels=1)
    alpha = write_image(root / 'input' / '1.png', (40, 49), channels=4)
    deep = write_image(root / 'target' / '2.png', dtype=np.uint16)
    with pytest.raises(
        UserError, match=r'3 of 6 pairs .*no color.*alpha.*16 bits.* Give --to-rgb to convert'
    ):
        main([str(root), str(out), '--workers', '0'])
    assert names_in(out) == []
    main([str(root), str(out), '--workers', '0', '--to-rgb'])
    dataset = read(root, out)
    np.testing.assert_array_equal(dataset[0]['img'], np.repeat(gray[..., None], 3, 2))
    np.testing.assert_array_equal(dataset[1]['img'], alpha[..., 2::-1])
    np.testing.assert_array_equal(dataset[2]['gt'], np.rint(deep / 257))


def test_rotated_photos_are_packed_as_they_are_read(root, out):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ('input', 'target'):
        (root / name / '0.png').unlink()
        Image.open(root / name / '2.png').save(root / name / '0.jpg', exif=exif)
    main([str(root), str(out), '--workers', '0'])
    image = read(root, out)[0]['img']
    assert image.shape == (48, 40, 3)
    np.testing.assert_array_equal(image, read(root, 'raw')[0]['img'])


def test_the_parts_of_a_data_set_are_chosen(gopro_root, root, out):
    arguments = [str(gopro_root), str(out), '--workers', '0']
    main([*arguments, '--split', 'train', '--blur-key', 'blur_gamma'])
    assert names_in(out) == ['gopro_train_blur_gamma']
    main(arguments)
    assert names_in(out)[:2] == ['gopro_test_blur', 'gopro_train_blur']
    with pytest.raises(
        UserError, match=r'choose from: split=test, blur_key=blur; split=test, blur'
    ):
        main([*arguments, '--split', 'val', 'train'])
    for subset in 'JR':
        (root / f'RealBlur_{subset}_test_list.txt').write_text('target/1.png input/1.png')
    main([str(root), str(out), '--workers', '0', '--subset', 'R'])
    assert names_in(out)[3:] == ['realblur_R_test']


def test_sharp_photos(root, out):
    arguments = [str(root), str(out), '--workers', '0', '--sharp-photos']
    main([*arguments, 'target'])
    assert names_in(out) == ['sharp_target']
    dataset = SharpFolderDataset(str(root), 'target', packed=str(out))
    assert len(dataset) == PAIRS
    stored = np.load(out / 'sharp_target' / 'pixels.npy')
    assert stored.size == sum(dataset[i]['place'].images()[0].size for i in range(PAIRS))
    sample = LoadImagePair()(dataset[1])
    np.testing.assert_array_equal(sample['img'], read_rgb(root / 'target' / '1.png'))
    np.testing.assert_array_equal(sample['img'], sample['gt'])
    with pytest.raises(UserError, match='also has a folder of blurry photos'):
        main(arguments)
    with pytest.raises(UserError, match=r'packs --sharp-photos input, or set'):
        SharpFolderDataset(str(root), 'input', packed=str(out))
