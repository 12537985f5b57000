"""Every fault that the data doctor knows, provoked, and none where there is none."""

import importlib.util
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmspd.datasets.doctor import check_data, inventory
from mmspd.datasets.doctor.measures import EXPONENTS, measure_pair
from mmspd.datasets.packed_plan import plan_pack
from mmspd.datasets.packed_writer import write_pack
from mmspd.errors import UserError
from mmspd.registry import DATASETS

TOOL = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'check.py'
SIDE, TRAIN, TEST = 168, 12, 10


def texture(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (SIDE // 6, SIDE // 6, 3), np.uint8)
    return cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def blurred(image, exponent=1.0):
    """A box blur of the values to a power."""
    average = cv2.blur((image / 255.0) ** exponent, (7, 5)).clip(0) ** (1 / exponent)
    return (255 * average).round().astype(np.uint8)


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


@pytest.fixture(scope='session')
def healthy(tmp_path_factory):
    root = tmp_path_factory.mktemp('healthy')
    for number in range(TRAIN + TEST):
        split = 'train' if number < TRAIN else 'test'
        sharp = texture(number)
        write(root / split / 'sharp' / f'{number:03d}.png', sharp)
        write(root / split / 'blur' / f'{number:03d}.png', blurred(sharp))
    return root


@pytest.fixture
def root(healthy, tmp_path):
    return Path(shutil.copytree(healthy, tmp_path / 'data'))


@pytest.fixture(scope='session')
def gopro_healthy(tmp_path_factory):
    """One test sequence with both blurs."""
    root = tmp_path_factory.mktemp('gopro')
    for number in range(TEST):
        sharp = texture(100 + number)
        for folder, image in (
            ('sharp', sharp),
            ('blur', blurred(sharp)),
            ('blur_gamma', blurred(sharp, 2.2)),
        ):
            write(root / 'test' / 'GOPR0396_11_00' / folder / f'{number:06d}.png', image)
    return root


@pytest.fixture
def gopro(gopro_healthy, tmp_path):
    return Path(shutil.copytree(gopro_healthy, tmp_path / 'gopro'))


def check(root, **options):
    return check_data(root, crop=128, **options)


def problems(report):
    return [finding for finding in report.findings if finding.level != 'note']


def exchange(first, second):
    spare = first.with_name('spare')
    for old, new in ((first, spare), (second, first), (spare, second)):
        old.rename(new)


def change(path, function):
    write(path, function(read(path)))


def test_a_healthy_set_is_found_healthy(healthy):
    report = check(healthy)
    assert problems(report) == []
    assert report.exit_code == 0
    assert report.pairs == {'test/blur': TEST, 'train/blur': TRAIN}
    assert report.verdict == 'nothing is wrong with the 22 pairs (every image decoded)'
    text = report.text()
    assert 'train/blur: the blurry images are as bright as averages as coded' in text
    assert 'say 12 of 12 pairs; the exponent that fits best is ' in text


def truncate(root):
    path = root / 'train/blur/003.png'
    path.write_bytes(path.read_bytes()[:-2000])


def truncate_jpeg(root):
    path = root / 'train/blur/003.png'
    data = cv2.imencode('.jpg', read(path))[1].tobytes()
    path.write_bytes(data[: len(data) // 2])


def flip_a_bit(root):
    path = root / 'train/blur/003.png'
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def exchange_images(root):
    exchange(root / 'train/blur/003.png', root / 'train/sharp/003.png')


def displace(root, shift, numbers=range(TRAIN)):
    for number in numbers:
        change(root / f'train/sharp/{number:03d}.png', lambda image: np.roll(image, shift, (0, 1)))


def next_frame(root):
    """Sharp frames of a moving scene, each under the name of another one."""
    for number in range(TRAIN):
        shift = [(7, 0), (-7, 0), (0, 7), (0, -7)][number % 4]
        displace(root, shift, [number])


FAULTS = {
    'truncated': (truncate, 'fault', r'1 file cannot be read \(train/blur/003.png: damaged: .*run'),
    'truncated_jpeg': (
        truncate_jpeg,
        'fault',
        r'1 file cannot .*003.png: damaged: image file is t',
    ),
    'flipped_bit': (flip_a_bit, 'fault', r'1 file cannot be read \(train/blur/003.png: damaged'),
    'empty_file': (
        lambda root: (root / 'train/blur/003.png').write_bytes(b''),
        'fault',
        r'1 file cannot be read \(train/blur/003.png: empty\): copy again',
    ),
    'no_image': (
        lambda root: (root / 'train/blur/003.png').write_text('<html>'),
        'fault',
        r'003.png: not an image\)',
    ),
    'no_partner': (
        lambda root: (root / 'train/sharp/003.png').unlink(),
        'fault',
        r'1 blurry image has no sharp one \(train/blur/003.png\): rename, add',
    ),
    'renamed': (
        lambda root: (root / 'train/sharp/003.png').rename(root / 'train/sharp/003_.png'),
        'fault',
        r"no sharp one \(train/blur/003.png, did you mean 'train/sharp/003_.png'\?\)",
    ),
    'empty_folder': (
        lambda root: [path.unlink() for path in (root / 'train/sharp').iterdir()],
        'fault',
        r'12 blurry images have no sharp one \(train/blur/000.png, .*, \.\.\.\)',
    ),
    'both_empty': (
        lambda root: [path.unlink() for path in root.glob('train/*/*')],
        'fault',
        'there is no image in .*blur',
    ),
    'two_suffixes': (
        lambda root: shutil.copy(root / 'train/blur/003.png', root / 'train/blur/003.bmp'),
        'fault',
        'differ only in their suffix: remove one',
    ),
    'two_sizes': (
        lambda root: change(root / 'train/blur/003.png', lambda image: image[:-4]),
        'fault',
        r'1 pair differs in size \(train/blur/003.png is 168x164, train/sharp/003.png is 168x168\)',
    ),
    'gray': (
        lambda root: change(
            root / 'train/blur/003.png', lambda image: cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        ),
        'fault',
        r'1 image is gray \(train/blur/003.png\): convert to 8-bit RGB, or pack .* --to-rgb',
    ),
    'alpha': (
        lambda root: change(root / 'train/blur/003.png', lambda x: np.dstack([x, x[..., :1]])),
        'fault',
        r'1 image has an alpha channel \(train/blur/003.png\)',
    ),
    '16_bits': (
        lambda root: change(root / 'train/blur/003.png', lambda x: x.astype(np.uint16) * 257),
        'fault',
        r'1 image has 16 bits per channel \(train/blur/003.png\)',
    ),
    'duplicate': (
        lambda root: shutil.copy(root / 'train/blur/003.png', root / 'train/blur/004.png'),
        'warning',
        r'1 blurry image is there more than once \(train/blur/003.png = train/blur/004.png\)',
    ),
    'leak': (
        lambda root: shutil.copy(root / 'train/sharp/003.png', root / 'test/sharp/020.png'),
        'fault',
        r'test/blur: 1 image is in the training data too \(train/sharp/003.png = test/sharp/020',
    ),
    'unblurred': (
        lambda root: shutil.copy(root / 'train/sharp/003.png', root / 'train/blur/003.png'),
        'warning',
        r'1 blurry image is the same as the sharp one \(003\)',
    ),
    'folders_exchanged': (
        lambda root: exchange(root / 'train/blur', root / 'train/sharp'),
        'fault',
        'blurry and sharp are exchanged: in 12 of 12 pairs the sharp image is the blurrier one',
    ),
    'images_exchanged': (
        exchange_images,
        'warning',
        r'1 pair has the blurrier image as the sharp one, of 12 judged \(003\)',
    ),
    'all_displaced': (
        lambda root: displace(root, (0, 2)),
        'fault',
        r'the blurry images are displaced alike, by \(-2\.0, -?0\.0\) pixels \(right, down\)',
    ),
    'off_by_one': (next_frame, 'fault', r'most pairs are displaced, by [67]\.\d pixels in the med'),
    'one_displaced': (
        lambda root: displace(root, (9, -8), [3]),
        'warning',
        r'1 pair is displaced by more than blur explains, of 12 judged \(003 by \(8, -9\)\)',
    ),
    'unrelated': (
        lambda root: write(root / 'train/sharp/003.png', texture(99)),
        'warning',
        r'1 pair seems to show two scenes, of 12 judged \(003\)',
    ),
    'black': (
        lambda root: change(root / 'train/blur/003.png', np.zeros_like),
        'warning',
        r'1 pair seems to show two scenes',
    ),
}


@pytest.mark.parametrize('name', FAULTS)
def test_every_fault_is_found(root, name):
    provoke, level, message = FAULTS[name]
    provoke(root)
    report = check(root)
    found = problems(report)
    assert {finding.level for finding in found} == {level}
    assert re.search(message, '\n'.join(finding.line() for finding in found))
    assert report.exit_code == {'fault': 3, 'warning': 2}[level]


def test_many_odd_pairs_are_a_fault(root):
    for name in ('003', '004'):
        exchange(root / f'train/blur/{name}.png', root / f'train/sharp/{name}.png')
    (found,) = problems(check(root))
    assert (found.level, found.check, found.names) == ('fault', 'exchanged', ('003', '004'))


def test_crop_and_varying_sizes(root):
    for folder in ('blur', 'sharp'):
        change(root / f'train/{folder}/003.png', lambda image: image[:, :140])
    report = check_data(root, crop=150)
    (found,) = problems(report)
    assert found.line().startswith(
        'warning  train/blur: 1 pair is smaller than the training crop of 150 pixels (003): lower'
    )
    assert '2 sizes, from 140x168 to 168x168' in report.text()
    assert problems(check_data(root, crop=140)) == []


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
    assert '3 of 3 pairs are too small or too smooth to tell' in report.text()
    assert '3 pairs cannot tell an average as coded' in report.text()


def test_gopro_blur_folders(gopro, monkeypatch):
    monkeypatch.setitem(inventory.OFFICIAL, ('gopro', 'test'), TEST)
    folder = gopro / 'test' / 'GOPR0396_11_00'
    report = check(gopro)
    assert problems(report) == []
    assert '_gamma: the blurry images are brighter than averages as coded' in report.text()
    exchange(folder / 'blur', folder / 'blur_gamma')
    text = check(gopro).text()
    assert 'blur and blur_gamma are exchanged: in 10 of 10 frames blur is the brighter' in text
    assert re.search(r'warning  test/\*/blur: the blurry images are brighter .*: unpack', text)
    assert re.search(r'warning  test/\*/blur_gamma: the blurry images are as bright', text)
    shutil.rmtree(folder / 'blur')
    shutil.copytree(folder / 'blur_gamma', folder / 'blur')
    assert 'fault    test/*/blur_gamma: 10 of 10 images are the same as' in check(gopro).text()


def test_gopro_counts(gopro):
    (found,) = {finding.text: finding for finding in problems(check(gopro))}.values()
    assert found.level == 'warning'
    assert found.text == '10 pairs, the official split has 1111'
    assert found.names == ('GOPR0396_11_00 has 10 of 100',)
    # data in the same layout does not claim to be GoPro, by its records or by its names
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
    assert re.search(r'fault    test/\*/blur: 11 sharp images have no blurry one', text)
    # a name is looked for in its own sequence
    assert "000003.png, did you mean 'test/GOPR0396_11_00/sharp/00003.png'?" in text


def test_hide(healthy, tmp_path, monkeypatch):
    root = tmp_path / 'HIDE'
    shutil.copytree(healthy / 'train/blur', root / 'test' / 'test-close-ups')
    shutil.copytree(healthy / 'train/sharp', root / 'GT')
    assert '12 pairs, the official split has 2025' in check(root, quick=True).text()
    monkeypatch.setitem(inventory.OFFICIAL, ('hide', 'test'), TRAIN)
    assert problems(check(root)) == []
    (root / 'GT' / '003.png').rename(root / 'GT' / '0003.png')
    found = problems(check(root))[0]
    name = "test/test-close-ups/003.png, did you mean 'GT/0003.png'?"
    assert (found.check, found.names) == ('partner', (name,))


def test_realblur(healthy, tmp_path, monkeypatch):
    root, lines = tmp_path / 'RealBlur', []
    for number in range(TRAIN):
        names = [f'J/scene{number}/{kind}/{kind}_1.png' for kind in ('gt', 'blur')]
        for folder, name in zip(('sharp', 'blur'), names):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(healthy / 'train' / folder / f'{number:03d}.png', root / name)
        lines.append(' '.join(names))
    (root / 'RealBlur_J_test_list.txt').write_text('\n'.join(lines))
    monkeypatch.setitem(inventory.OFFICIAL, ('realblur', 'test'), TRAIN)
    assert check(root).findings == []
    (root / 'J/scene3/blur/blur_1.png').rename(root / 'J/scene3/blur/blur_01.png')
    found = problems(check(root))[0]
    assert found.text == '1 image of the list is missing'
    name = "J/scene3/blur/blur_1.png, did you mean 'J/scene3/blur/blur_01.png'?"
    assert found.names == (name,)
    (root / 'RealBlur_J_test_list.txt').write_text('one\n')
    assert 'line 1 of' in check(root).text()


def test_quick_reads_headers_only(root, monkeypatch):
    change(root / 'train/blur/003.png', lambda x: x.astype(np.uint16) * 257)
    change(root / 'train/blur/004.png', lambda image: image[:-4])
    (root / 'train/sharp/005.png').write_bytes(b'')
    truncate(root.rename(root.with_name('data2')))  # not in a header
    root = root.with_name('data2')

    def refuse(path, convert):
        raise AssertionError(f'{path} was decoded')

    monkeypatch.setattr('mmspd.datasets.doctor.images.read_rgb', refuse)
    report = check(root, quick=True)
    assert [finding.check for finding in problems(report)] == ['unreadable', '16-bit', 'size']
    assert report.text().startswith(f"'{root}', layout pairs: test/blur (10 pairs), train/blur (12")


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
    dataset = DATASETS.build(
        dict(
            type='mmspd.PairedFolderDataset',
            data_root=str(healthy),
            blur_dir='test/blur',
            sharp_dir='test/sharp',
        )
    )
    plan = plan_pack(dataset, tmp_path)
    write_pack(plan)
    report = check_data(plan.path)
    assert (report.exit_code, report.pairs) == (0, {plan.path.stem: TEST})
    data = bytearray(plan.path.read_bytes())
    data[5000] ^= 1
    plan.path.write_bytes(data)
    (found,) = check_data(plan.path).findings
    assert (found.level, found.names) == ('fault', ('test/blur/012.png',))
    assert check_data(plan.path, quick=True).findings == []
    plan.path.write_bytes(data[:-100])
    assert check_data(plan.path).exit_code == 3


@pytest.mark.parametrize('shift', [(5, 0), (0, -4), (3, 2)])
def test_a_known_shift_is_measured(shift):
    big = cv2.resize(texture(0), (400, 400), interpolation=cv2.INTER_CUBIC)
    x, y = shift
    crop = np.s_[20 : 20 + 320, 20 : 20 + 320]
    moved = np.roll(big, (y, x), (0, 1))
    found = measure_pair(blurred(moved)[crop].copy(), big[crop].copy())
    np.testing.assert_allclose(found.shift, shift, atol=0.2)
    assert found.sharpness < 1
    # the other way round it is the same, mirrored
    back = measure_pair(big[crop].copy(), blurred(moved)[crop].copy())
    np.testing.assert_allclose(back.shift, (-x, -y), atol=0.2)
    assert back.sharpness == pytest.approx(1 / found.sharpness)
    # in pixels of the image, whatever the size
    large = [cv2.resize(image[crop], (960, 960)) for image in (blurred(moved), big)]
    np.testing.assert_allclose(measure_pair(*large).shift, (3 * x, 3 * y), atol=0.6)


def test_brightness_is_compared_at_every_exponent():
    sharp = texture(0)
    blurry = blurred(sharp)
    found = measure_pair(blurry, sharp).brightening
    for exponent, value in zip(EXPONENTS[::6], found[::6]):
        expected = ((blurry / 255) ** exponent - (sharp / 255) ** exponent).mean()
        assert value == pytest.approx(expected, abs=1e-12)


def test_real_pairs_raise_no_alarm(shared_data):
    report = check_data(shared_data / 'data' / 'pairs' / 'reds_320x180', crop=128)
    assert problems(report) == []


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location('check', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def state_of(root):
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in root.rglob('*')}


def test_command_line(root, tool, tmp_path, capsys):
    truncate(root)
    before = state_of(root)
    arguments = [str(root), '--workers', '0', '--crop', '128']
    report = tmp_path / 'report.json'
    assert tool.main([*arguments, '--json', str(report)]) == 3
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"'{root}', layout pairs: ")
    assert out[-1] == 'verdict: 1 fault and 0 warnings: mend the faults before you use this data'
    found = json.loads(report.read_text())
    assert found['exit_code'] == 3
    assert found['findings'][0]['check'] == 'unreadable'
    assert found['findings'][0]['names'][0].startswith('train/blur/003.png: ')
    with pytest.raises(UserError, match="lies in the data set's folder"):
        tool.main([*arguments, '--json', str(root / 'report.json')])
    assert tool.main([*arguments, '--quick']) == 0
    assert state_of(root) == before
    with pytest.raises(UserError, match='no data set is recognised'):
        tool.main([str(tmp_path / 'data' / 'train' / 'blur')])
