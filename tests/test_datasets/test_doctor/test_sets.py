"""Checks of whole data sets in each layout."""

import re
import shutil

import cv2
import numpy as np
import pytest
from blurred_pairs import (
    TEST,
    TRAIN,
    change,
    check,
    exchange,
    exchange_images,
    problems,
    read,
    texture,
    truncate,
    write,
)
from PIL import Image

from mmspd.datasets import GoProDataset, HIDEDataset, PairedFolderDataset, RealBlurDataset
from mmspd.datasets.doctor import check_data
from mmspd.datasets.packs.writer import plan_pack, write_pack


def test_several_blurs_of_one_photo_are_fine(root):
    sharp = read(root / 'train/sharp/003.png')
    write(root / 'train/sharp/004.png', sharp)
    write(root / 'train/blur/004.png', cv2.blur(sharp, (5, 7)))
    report = check(root)
    assert problems(report) == []
    assert '2 pairs share 1 sharp image' in report.text()


def test_small_or_smooth_pairs_are_not_judged(tmp_path):
    for number in range(3):
        for folder in ('blur', 'sharp'):
            image = texture(number + 10 * (folder == 'blur'))
            write(tmp_path / folder / f'{number}.png', image[:100] if number else image // 255)
    report = check_data(tmp_path, crop=64)
    assert problems(report) == []
    assert '3 of 3 pairs are too small or too smooth to check' in report.text()
    assert '3 pairs do not show whether' in report.text()


@pytest.mark.slow
def test_gopro_blur_folders(gopro, monkeypatch):
    monkeypatch.setitem(GoProDataset.OFFICIAL_PAIRS, 'test', TEST)
    folder = gopro / 'test' / 'GOPR0396_11_00'
    report = check(gopro)
    assert problems(report) == []
    assert '_gamma: the blurry images are averages in linear light' in report.text()
    exchange(folder / 'blur', folder / 'blur_gamma')
    text = check(gopro).text()
    assert (
        'blur and blur_gamma are exchanged: in 10 of 10 frames blur is brighter than blur_gamma'
        in text
    )
    assert re.search(
        r'warning  test/\*/blur: the blurry images are averages in linear light .*; unpack', text
    )
    assert re.search(r'warning  test/\*/blur_gamma: the blurry images are averages of pixel', text)
    shutil.rmtree(folder / 'blur')
    shutil.copytree(folder / 'blur_gamma', folder / 'blur')
    assert 'fault    test/*/blur_gamma: 10 of 10 images are equal to' in check(gopro).text()


def test_gopro_counts(gopro):
    (finding,) = {one.text: one for one in problems(check(gopro))}.values()
    assert finding.level == 'warning'
    assert finding.text == '10 pairs, but the official split has 1111'
    assert finding.names == ('GOPR0396_11_00 has 10 of 100',)
    # records or other sequence names show that the data is not GOPRO_Large
    records = gopro / 'test' / 'records.jsonl'
    records.write_text('')
    assert problems(check(gopro, quick=True)) == []
    records.unlink()
    (gopro / 'test' / 'GOPR0396_11_00').rename(gopro / 'test' / 'mine')
    assert problems(check(gopro, quick=True)) == []


def test_gopro_sequence_without_folder_and_similar_names(gopro):
    test = gopro / 'test'
    shutil.copytree(test / 'GOPR0396_11_00' / 'sharp', test / 'GOPR0410_11_00' / 'sharp')
    (test / 'GOPR0396_11_00' / 'sharp' / '000003.png').rename(
        test / 'GOPR0396_11_00' / 'sharp' / '00003.png'
    )
    text = check(gopro, quick=True).text()
    assert re.search(r'fault    test/\*/blur: 11 sharp images have no blurry image', text)
    # the similar name is from the same sequence
    assert "000003.png, did you mean 'test/GOPR0396_11_00/sharp/00003.png'?" in text


def test_hide(healthy, tmp_path, monkeypatch):
    root = tmp_path / 'HIDE'
    shutil.copytree(healthy / 'train/blur', root / 'test' / 'test-close-ups')
    shutil.copytree(healthy / 'train/sharp', root / 'GT')
    assert '12 pairs, but the official split has 2025' in check(root, quick=True).text()
    monkeypatch.setitem(HIDEDataset.OFFICIAL_PAIRS, 'test', TRAIN)
    assert problems(check(root)) == []
    (root / 'GT' / '003.png').rename(root / 'GT' / '0003.png')
    finding = problems(check(root))[0]
    name = "test/test-close-ups/003.png, did you mean 'GT/0003.png'?"
    assert (finding.check, finding.names) == ('partner', (name,))


def test_realblur(healthy, tmp_path, monkeypatch):
    root, lines = tmp_path / 'RealBlur', []
    for number in range(TRAIN):
        names = [f'J/scene{number}/{kind}/{kind}_1.png' for kind in ('gt', 'blur')]
        for folder, name in zip(('sharp', 'blur'), names):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(healthy / 'train' / folder / f'{number:03d}.png', root / name)
        lines.append(' '.join(names))
    (root / 'RealBlur_J_test_list.txt').write_text('\n'.join(lines))
    monkeypatch.setitem(RealBlurDataset.OFFICIAL_PAIRS, 'test', TRAIN)
    assert check(root).findings == []
    (root / 'J/scene3/blur/blur_1.png').rename(root / 'J/scene3/blur/blur_01.png')
    finding = problems(check(root))[0]
    assert finding.text == '1 image of the list is missing'
    name = "J/scene3/blur/blur_1.png, did you mean 'J/scene3/blur/blur_01.png'?"
    assert finding.names == (name,)
    (root / 'RealBlur_J_test_list.txt').write_text('one\n')
    assert 'Line 1 of' in check(root).text()


def test_quick_reads_headers_only(root, monkeypatch):
    change(root / 'train/blur/003.png', lambda x: x.astype(np.uint16) * 257)
    change(root / 'train/blur/004.png', lambda image: image[:-4])
    (root / 'train/sharp/005.png').write_bytes(b'')
    truncate(root.rename(root.with_name('data2')))  # the header stays intact
    root = root.with_name('data2')

    def refuse(path, convert):
        raise AssertionError(f'{path} was decoded')

    monkeypatch.setattr('mmspd.datasets.doctor.images.read_rgb', refuse)
    report = check(root, quick=True)
    assert [finding.check for finding in problems(report)] == ['unreadable', '16-bit', 'size']
    assert report.text().startswith(f"'{root}', layout pairs: test/blur (10 pairs), train/blur (12")


@pytest.mark.slow
def test_processes_find_the_same(root):
    truncate(root)
    exchange_images(root)
    assert check(root, workers=2) == check(root)


def test_orientation_and_palette(tmp_path):
    for name, orientation in (('blur/1.jpg', 6), ('sharp/1.jpg', 1)):
        (tmp_path / name).parent.mkdir()
        exif = Image.Exif()
        exif[0x0112] = orientation
        size = (40, 30) if orientation == 6 else (30, 40)
        Image.new('RGB', size).save(tmp_path / name, exif=exif)
    for folder in ('blur', 'sharp'):
        Image.new('P', (30, 40)).save(tmp_path / folder / '2.png')
    for quick in (True, False):
        report = check_data(tmp_path, crop=16, quick=quick)
        assert [finding.check for finding in report.findings if finding.level == 'fault'] == []
    Image.new('P', (30, 40)).save(tmp_path / 'blur' / '2.png', transparency=0)
    assert '1 image has an alpha channel (blur/2.png)' in check_data(tmp_path, crop=16).text()


def test_pack(healthy, tmp_path):
    dataset = PairedFolderDataset(str(healthy), 'blur', 'sharp', 'test')
    plan = plan_pack(dataset, tmp_path)
    write_pack(plan)
    report = check_data(plan.path)
    assert (report.exit_code, report.pairs) == (0, {plan.path.name: TEST})
    pixels = plan.path / 'pixels.npy'
    data = bytearray(pixels.read_bytes())
    data[5000] ^= 1
    pixels.write_bytes(data)
    (finding,) = check_data(plan.path).findings
    assert (finding.level, finding.names) == ('fault', ('test/blur/012.png',))
    assert check_data(plan.path, quick=True).findings == []
    pixels.write_bytes(data[:-100])
    assert check_data(plan.path).exit_code == 3
