"""The script that checks mmspd on a GPU: its steps, its time limit and its exit code."""

import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / 'tools' / 'check_gpu.sh'


def check(*arguments, python='true', script=SCRIPT, **environment):
    """Run the script with a program in place of Python."""
    return subprocess.run(
        ['bash', str(script), *arguments],
        env=dict(PATH='/usr/local/bin:/usr/bin:/bin', PYTHON=python, **environment),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(('python', 'code'), [('true', 0), ('false', 1)])
def test_all_steps_run_and_their_failures_count(tmp_path, python, code):
    done = check('2', str(tmp_path / 'deep' / 'out'), python=python)
    assert done.returncode == code
    summary = (tmp_path / 'deep' / 'out' / 'summary.txt').read_text()
    steps = ('doctor', 'tests', 'benchmarks')
    assert re.fullmatch(
        ''.join(rf'{step}: exit code {code} after \d s\n' for step in steps), summary
    )
    assert done.stdout.endswith(summary)


def test_a_step_ends_at_its_limit(tmp_path):
    endless = tmp_path / 'endless'
    endless.write_text('#!/bin/sh\ncase "$1" in *doctor.py) exec sleep 60;; esac\n')
    endless.chmod(0o755)
    script = tmp_path / 'tools' / 'check_gpu.sh'
    script.parent.mkdir()
    script.write_text(SCRIPT.read_text().replace('step doctor 120', 'step doctor 1'))
    done = check('2', str(tmp_path / 'out'), python=str(endless), script=script)
    assert done.returncode == 1
    assert re.search(r'doctor: exit code 124 after [1-5] s\n', done.stdout)
    assert 'benchmarks: exit code 0' in done.stdout


def test_wheels_are_installed_first_and_removed_at_the_end(tmp_path):
    (tmp_path / 'wheels').mkdir()
    (tmp_path / 'wheels' / 'one.whl').touch()
    (tmp_path / 'wheels' / 'two.whl').touch()
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\necho "$@"\necho "PYTHONPATH=$PYTHONPATH"\n')
    python.chmod(0o755)
    out = tmp_path / 'out'
    done = check('2', str(out), python=str(python), WHEELS=str(tmp_path / 'wheels'))
    assert done.returncode == 0
    call = (out / 'wheels.log').read_text().splitlines()[0]
    assert call.endswith(f'{tmp_path}/wheels/one.whl {tmp_path}/wheels/two.whl')
    site = call.partition('--target ')[2].split()[0]
    assert f'PYTHONPATH={site}:{SCRIPT.parents[1]}\n' in (out / 'doctor.log').read_text()
    assert not Path(site).exists()


@pytest.mark.parametrize('arguments', [['0'], ['1.5'], ['soon'], ['9', 'out', 'more']])
def test_wrong_arguments_are_refused(arguments):
    done = check(*arguments)
    assert done.returncode == 2
    assert done.stderr == (
        'error: check_gpu.sh takes a whole number of minutes and a folder; correct the call.\n'
    )
