"""slurm_train.sh hands srun what the README promises, here to a stand-in for srun."""

import os
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / 'tools' / 'slurm_train.sh'


def run(tmp_path, *arguments, **environment):
    fake = tmp_path / 'srun'
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    path = f'{tmp_path}{os.pathsep}{os.environ["PATH"]}'
    return subprocess.run(
        ['bash', str(SCRIPT), *arguments],
        env=dict(os.environ, PATH=path, **environment),
        capture_output=True,
        text=True,
        check=False,
    )


def test_sixteen_gpus_on_two_nodes(tmp_path):
    done = run(tmp_path, 'gpu', 'spd', 'config.py', '--resume', GPUS='16')
    assert done.returncode == 0
    words = done.stdout.split('\n')
    for word in ('--partition=gpu', '--job-name=spd', '--ntasks=16', '--ntasks-per-node=8'):
        assert word in words
    assert words[words.index('config.py') :][:4] == ['config.py', '--launcher', 'slurm', '--resume']


def test_usage(tmp_path):
    done = run(tmp_path, 'gpu')
    assert done.returncode == 2
    assert 'PARTITION JOB_NAME CONFIG' in done.stderr
