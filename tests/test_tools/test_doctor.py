"""The doctor reports every fault of an installation, and never fails itself."""

import re
import sys
import types
from pathlib import Path

import pytest
from blurred_pairs import texture, write

from mmspd.datasets.sources import DATA_FOLDERS
from mmspd.doctor import Line, Section, examination, packages, render
from mmspd.doctor.data import data_lines
from mmspd.doctor.machine import cache_lines

ROOT = Path(__file__).resolve().parents[2]
GOOD = {'torch': '2.11.0', 'timm': '1.0.31', 'setuptools': '80.10.2'}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch, tmp_path):
    """Start in an empty folder, without the variables of data sets and weights."""
    for name in (*DATA_FOLDERS, 'MMSPD_PACKED', 'MMSPD_TEACHER'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def line_of(lines, name):
    found = [line for line in lines if line.name.strip() == name]
    assert len(found) == 1, lines
    return (found[0].state, found[0].found, found[0].fix, found[0].pip)


@pytest.mark.parametrize(
    ('requirement', 'state', 'found', 'pip'),
    [
        ('torch>=2.6', 'ok', '2.11.0', ()),
        (
            'torch>=2.12',
            'FAULT',
            '2.11.0, but mmspd needs >=2.12',
            (('install', 'torch>=2.12'),),
        ),
        ('scipy>=1.9', 'FAULT', 'not installed', (('install', 'scipy>=1.9'),)),
        (
            'mmagic==1.2.0',
            'FAULT',
            'not installed',
            (('install', '--no-deps', 'mmagic==1.2.0'),),
        ),
    ],
)
def test_needed_packages(requirement, state, found, pip):
    name = re.match(r'\w+', requirement)[0]
    assert line_of(packages.needed_lines(GOOD, [requirement]), name) == (state, found, '', pip)


def test_requirements_of_other_systems_and_builds_of_opencv_are_left_out():
    others = ["no-such-package; python_version < '3'", 'opencv-python', 'mmcv-lite==2.1.0']
    assert packages.needed_lines(GOOD, others) == []
    assert {'torch', 'mmengine'} <= {
        re.match('[A-Za-z]+', text)[0] for text in packages.requirements_of_mmspd()
    }


MMCV = {'mmcv-lite': '2.1.0'}
TWO_OPENCVS = {'opencv-python': '5.0.0.93', 'opencv-python-headless': '5.0.0.93'}


HEADLESS = ('install', '--force-reinstall', '--no-deps', 'opencv-python-headless')
LITE = ('install', '--force-reinstall', '--no-deps', 'mmcv-lite==2.1.0')


@pytest.mark.parametrize(
    ('installed', 'found', 'pip'),
    [
        (MMCV, 'not installed', (HEADLESS,)),
        (
            {**MMCV, **TWO_OPENCVS},
            'opencv-python-headless 5.0.0.93 and opencv-python 5.0.0.93 overwrite each other',
            (('uninstall', '-y', 'opencv-python-headless', 'opencv-python'), HEADLESS),
        ),
        (
            {'mmcv': '2.1.0', **MMCV, 'opencv-python': '5.0.0.93'},
            'mmcv 2.1.0 and mmcv-lite 2.1.0 overwrite each other',
            (('uninstall', '-y', 'mmcv', 'mmcv-lite'), LITE),
        ),
        (
            {'mmcv': '2.2.0', 'opencv-python': '5.0.0.93'},
            'mmcv 2.2.0, but mmspd needs >=2.0.0,<2.2.0',
            (('uninstall', '-y', 'mmcv'), LITE),
        ),
    ],
)
def test_exactly_one_build_is_right(installed, found, pip):
    (fault,) = [line for line in packages.build_lines(installed) if line.state == 'FAULT']
    assert (fault.found, fault.pip) == (found, pip)


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (
            ImportError('libGL.so.1: cannot open'),
            (
                'FAULT',
                'ImportError: libGL.so.1: cannot open',
                '',
                (('uninstall', '-y', 'opencv-python'), HEADLESS),
            ),
        ),
        (
            ModuleNotFoundError("No module named 'numpy'", name='numpy'),
            ('FAULT', "No module named 'numpy'", 'correct this fault first', ()),
        ),
    ],
)
def test_a_package_that_cannot_be_imported_is_a_fault(monkeypatch, error, line):
    def fail(name):
        raise error

    monkeypatch.setattr(packages.importlib, 'import_module', fail)
    lines = packages.build_lines({**MMCV, 'opencv-python': '5.0.0.93'})
    assert line_of(lines, 'opencv-python 5.0.0.93') == line


def test_optional_packages_name_their_use():
    lines = packages.optional_lines({'av': '18.1.0', 'starlette': '1.10.0'})
    assert line_of(lines, 'videos') == ('ok', 'av 18.1.0', '', ())
    pip = (('install', 'uvicorn'),)
    assert line_of(lines, 'uvicorn') == ('-', 'not installed', 'for the web page', pip)


def test_fixes_are_applied_until_one_fails(monkeypatch):
    calls = []

    def run(command, check):
        calls.append(command[1:])
        return types.SimpleNamespace(returncode=int('uninstall' in command))

    monkeypatch.setattr(examination.subprocess, 'run', run)
    lines = [
        Line('FAULT', 'cv2', 'two', pip=(('uninstall', 'a'), ('install', 'b'))),
        Line('FAULT', 'mmagic', 'not installed', pip=(('install', 'mmagic'),)),
        Line('-', 'av', 'not installed', pip=(('install', 'av'),)),
        Line('FAULT', 'devices', 'none', 'buy one'),
    ]
    assert examination.apply_fixes([Section('Packages', lines)]) == 1
    assert calls == [['-m', 'pip', 'uninstall', 'a'], ['-m', 'pip', 'install', 'mmagic']]


def test_the_text_of_a_report():
    lines = [
        Line('ok', 'torch', '2.11.0'),
        Line('FAULT', 'scipy', 'not installed', pip=(('install', 'scipy>=1.9'),)),
        Line('-', 'av', 'not installed', 'for videos', (('install', 'av'),)),
    ]
    assert render([Section('Packages', lines)]) == (
        'Packages\n'
        '  ok     torch: 2.11.0\n'
        "  FAULT  scipy: not installed; run pip install 'scipy>=1.9'\n"
        '  -      av: not installed; for videos; run pip install av\n\n'
        'Verdict: 1 fault; apply the fixes above. "mmspd doctor --fix" runs the calls of pip.'
    )


def test_folders_of_data(monkeypatch, tmp_path):
    for split, frames in (('train', 2), ('test', 1)):
        for number in range(frames):
            for part in ('blur', 'sharp'):
                write(tmp_path / 'gopro' / split / 'S1' / part / f'{number}.png', texture(number))
    monkeypatch.setenv('GOPRO_ROOT', str(tmp_path / 'gopro'))
    monkeypatch.setenv('HIDE_ROOT', 'nowhere')
    monkeypatch.setenv('PAIRS_ROOT', 'gopro')
    monkeypatch.setenv('SHARP_ROOT', 'gopro')
    monkeypatch.setenv('QUICKSTART_ROOT', '')
    monkeypatch.setenv('MMSPD_PACKED', 'packs')
    monkeypatch.setenv('MMSPD_TEACHER', 'teacher.pth')
    monkeypatch.setenv('HTTPS_PROXY', 'http://me:password@proxy')
    monkeypatch.setenv('HF_HOME', '/hub')
    lines = data_lines(count=False)
    assert line_of(lines, 'GOPRO_ROOT')[0] == 'ok'
    assert line_of(lines, 'HTTPS_PROXY')[1] == 'set'
    assert line_of(lines, 'HF_HOME')[1] == "'/hub'"
    places = [(line.name, line.found) for line in lines if line.name.startswith('  gopro')][:2]
    assert places == [('  gopro test', 'found, blurry images in blur')] + [
        ('  gopro train', 'found, blurry images in blur')
    ]
    wrong = [(line.name, line.found) for line in lines if line.state == 'FAULT']
    assert wrong == [
        ('HIDE_ROOT', "'nowhere' does not exist"),
        ('  gopro test', 'another layout than the recipes read'),
        ('  gopro train', 'another layout than the recipes read'),
        ('QUICKSTART_ROOT', 'empty'),
        ('MMSPD_PACKED', "'packs' does not exist"),
        ('MMSPD_TEACHER', "'teacher.pth' does not exist"),
    ]
    assert line_of(lines, 'REALBLUR_ROOT') == (
        '-',
        "'data/RealBlur' (default) does not exist",
        'to get the data, run mmspd data download realblur',
        (),
    )
    counted = {line.name: line.found for line in data_lines(count=True) if line.state == 'ok'}
    assert counted['  gopro train'] == '2 of the 2103 published pairs, blurry images in blur'
    assert counted['  photos'] == '6'


def test_an_unknown_folder_is_a_fault(monkeypatch, tmp_path):
    write(tmp_path / 'data' / 'notes' / 'a.png', texture(0))
    monkeypatch.setenv('GOPRO_ROOT', 'data')
    (fault,) = [line for line in data_lines(count=False) if line.state == 'FAULT']
    assert "'data' has an unknown layout" in fault.found
    assert fault.fix == "run mmspd check 'data'"


def test_caches(monkeypatch, tmp_path):
    (tmp_path / 'hub').mkdir()
    (tmp_path / 'hub' / 'model.safetensors').write_bytes(b'x')
    monkeypatch.setenv('HF_HOME', str(tmp_path / 'hub'))
    state, found, *_ = line_of(cache_lines(), 'Hugging Face, used by timm')
    assert (state, found) == ('ok', f"'{tmp_path / 'hub'}', 1 files, 0.0 GiB")


@pytest.mark.slow
def test_report_of_this_installation(call_tool):
    code, report, errors = call_tool('doctor.py')
    assert (code, errors) == (0, '')
    assert re.search(r'ok     torch: \d', report)
    assert re.search(r'ok     training step on cpu: loss 0\.\d{4}\n', report)
    assert re.search(
        r'ok     gloo, for several processes on cpu: a group of one process works\n', report
    )
    assert re.search(r'\nVerdict: mmspd is ready\. (Use|Do not use) .* on cpu: .*\n$', report)


def test_broken_packages_do_not_stop_the_report(call_tool, monkeypatch):
    for name in ('timm', 'mmspd.utils.device', 'mmspd.doctor.data', 'packaging.specifiers'):
        monkeypatch.setitem(sys.modules, name, None)
    code, report, _ = call_tool('doctor.py', '--data')
    assert code == 1
    assert re.search(r'FAULT  timm \d', report)
    assert '; install it again; torch and torchvision must fit each other\n' in report
    assert 'FAULT  devices: ModuleNotFoundError' in report
    assert 'FAULT  data: ModuleNotFoundError' in report
    assert 'FAULT  OpenCV and mmcv: ModuleNotFoundError' in report
    assert report.endswith('\nVerdict: 4 faults; apply the fixes above.\n')


def test_every_folder_that_a_config_reads_is_known():
    texts = [path.read_text() for path in (ROOT / 'configs').rglob('*.py')]
    read = {pair for text in texts for pair in re.findall(r'\{\{\$(\w+_ROOT):([^}]*)\}\}', text)}
    assert read == {(name, data.default) for name, data in DATA_FOLDERS.items()}
