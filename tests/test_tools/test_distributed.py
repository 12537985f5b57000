import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import ranks
import support

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.mark.slow
def test_one_step_of_two_by_two_equals_one_of_four(run_ranks, run_tool, write_config, tmp_path):
    config = write_config(ranks.ONE_STEP, base='distilled')
    code, output = run_tool('train.py', config, '--work-dir', tmp_path / 'one')
    assert code == 0, output
    codes, output = run_ranks(
        'train.py', config, '--work-dir', tmp_path / 'two',
        '--cfg-options', 'train_dataloader.batch_size=2',
    )  # fmt: skip
    assert codes == [0, 0], output
    ranks.check_equal_runs(tmp_path / 'one', tmp_path / 'two')


@pytest.mark.slow
def test_each_image_is_tested_once_over_two_processes(run_ranks, run_tool, tested, tmp_path):
    arguments = (*tested, '--work-dir', tmp_path / 'test')
    code, alone = run_tool('test.py', *arguments)
    assert code == 0, alone
    codes, together = run_ranks('test.py', *arguments)
    assert codes == [0, 0], together
    values = [re.search(r'PSNR: ([\d.]+)', output).group(1) for output in (alone, together)]
    assert values[0] == values[1]


def bash(script, *arguments, **options):
    """Run a launcher script."""
    command = ['bash', TOOLS / script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.mark.slow
def test_dist_train_from_another_folder(write_config, tmp_path):
    options = ('2', '--work-dir', 'here', '--cfg-options', 'train_cfg.max_epochs=1')
    environment = {**os.environ, 'PYTHON': sys.executable}
    config = write_config(support.EMA)
    done = bash('dist_train.sh', config, *options, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'here' / 'epoch_1.pth').exists()
    assert 'GPU number: 2' in done.stdout + done.stderr


def test_slurm_starts_sixteen_processes_on_two_nodes(tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    environment = dict(os.environ, PATH=f'{tmp_path}{os.pathsep}{os.environ["PATH"]}', GPUS='16')
    done = bash('slurm_train.sh', 'gpu', 'spd', 'config.py', '--resume', env=environment)
    assert done.returncode == 0
    words = done.stdout.split('\n')
    for word in ('--partition=gpu', '--job-name=spd', '--ntasks=16', '--ntasks-per-node=8'):
        assert word in words
    assert words[words.index('config.py') :][:4] == ['config.py', '--launcher', 'slurm', '--resume']


@pytest.mark.parametrize(
    'arguments', [['dist_train.sh', 'c.py'], ['dist_test.sh', 'c.py', '2'], ['slurm_train.sh', 'p']]
)
def test_launchers_explain_themselves(arguments):
    done = bash(*arguments)
    assert done.returncode == 2
    assert f'bash tools/{arguments[0]}' in done.stderr
