"""The parts of install.sh that need no network, and its lists of packages."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def name_in(line):
    """Return the normalized name of the package in a requirement."""
    return re.sub(r'[-_.]+', '-', re.match(r'[\w.-]+', line).group()).lower()


def tested():
    """Return the lines of the tested set, by the names of the packages."""
    lines = (ROOT / 'requirements' / 'constraints.txt').read_text().splitlines()
    return {name_in(line): line for line in lines if line[:1] not in ('', '#')}


@pytest.fixture
def checkout(tmp_path):
    """The files that install.sh needs, in a folder with a space in its name."""
    root = tmp_path / 'my checkout'
    shutil.copytree(ROOT / 'requirements', root / 'requirements')
    (root / 'tools').mkdir()
    shutil.copy(ROOT / 'tools' / 'install.sh', root / 'tools')
    shutil.copy(ROOT / 'pyproject.toml', root)
    return root


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\n{text}\n')
    path.chmod(0o755)
    return path


def install(checkout, tmp_path, **environment):
    done = subprocess.run(
        ['bash', checkout / 'tools' / 'install.sh'],
        cwd=tmp_path,  # from another folder
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr.strip()


@pytest.mark.parametrize(
    ('script', 'sentence'),
    [
        (None, 'error: PYTHON={} does not start; set PYTHON to the path of a Python 3.10 to 3.13.'),
        ('echo 3.9', 'error: {} is Python 3.9, but mmspd needs 3.10 to 3.13; set PYTHON='),
        (
            'case "$2" in *ensurepip*) exit 1;; *) echo 3.11;; esac',
            'install the package python3.11-venv',
        ),
    ],
)
def test_unsuitable_python_is_refused(checkout, tmp_path, script, sentence):
    python = '/nowhere/python' if script is None else program(tmp_path / 'bin' / 'python', script)
    code, _, error = install(checkout, tmp_path, PYTHON=str(python))
    assert code == 1
    assert sentence.format(python) in error
    assert not (checkout / '.venv').exists()


def test_broken_environment_is_named(checkout, tmp_path):
    program(checkout / '.venv' / 'bin' / 'python', 'exit 1')
    code, _, error = install(checkout, tmp_path)
    assert code == 1
    assert f'The Python of {checkout}/.venv does not start; delete this folder' in error


#: Imitates the Python of the environment and records the calls of pip.
RECORDER = f"""
case "$*" in
*version_info*) echo 3.11 ;;
-VV) echo recorder ;;
*"pip show"*) exit 1 ;;
-m*) echo "$@" >>"$CALLS"; eval "$ON_PIP" ;;
*) exec {sys.executable} -c pass ;;
esac
"""


def test_tested_set_is_installed_once_and_without_dependencies(checkout, tmp_path):
    program(checkout / '.venv' / 'bin' / 'python', RECORDER)
    calls = tmp_path / 'calls'
    code, output, error = install(checkout, tmp_path, CALLS=str(calls))
    assert (code, error) == (0, '')
    torch, rest, itself = calls.read_text().splitlines()
    assert torch.endswith('-c requirements/constraints.txt torch torchvision')
    assert rest.endswith('--no-deps -r requirements/constraints.txt')
    assert itself.endswith('--no-deps --no-build-isolation -e .')

    calls.unlink()
    code, output, _ = install(checkout, tmp_path, CALLS=str(calls))
    assert code == 0
    assert 'up to date' in output
    assert not calls.exists()

    with (checkout / 'pyproject.toml').open('a') as file:
        file.write('# more\n')
    assert install(checkout, tmp_path, CALLS=str(calls))[0] == 0
    assert calls.exists()


@pytest.mark.parametrize(
    ('message', 'sentence'),
    [
        ('NewConnectionError: Temporary failure in name resolution', 'PyPI cannot be reached'),
        ('No matching distribution', "'torch and torchvision"),
    ],
)
def test_failure_of_pip_is_explained_in_one_sentence(checkout, tmp_path, message, sentence):
    program(checkout / '.venv' / 'bin' / 'python', RECORDER)
    on_pip = f'echo "{message}"; exit 1'
    code, _, error = install(checkout, tmp_path, CALLS=os.devnull, ON_PIP=on_pip)
    assert code == 1
    assert error.splitlines()[-1].startswith(f'error: {sentence}')
    assert not (checkout / '.venv' / 'mmspd-installed').exists()


def test_the_tested_set_has_hashes_or_says_why_not():
    text = (ROOT / 'requirements' / 'constraints.txt').read_text()
    assert '--hash=' in text or 'The lines have no hashes: pip demands hashes of all' in text


def test_every_requirement_is_in_the_tested_set():
    tomllib = pytest.importorskip('tomllib')  # Python 3.11
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    extras = project['optional-dependencies'].values()
    listed = {name_in(line) for line in itertools.chain(project['dependencies'], *extras)}
    assert listed - {'mmspd'} <= tested().keys()
    assert not {name for name in listed if 'opencv' in name or 'mmcv' in name}


def test_only_one_opencv_and_no_compiled_mmcv():
    assert {name for name in tested() if 'opencv' in name} == {'opencv-python-headless'}
    assert 'mmcv' not in tested()


def test_the_tested_set_has_none_of_mmagics_old_requirements():
    old = {'albumentations', 'diffusers', 'tokenizers', 'transformers'}
    assert not old & tested().keys()
