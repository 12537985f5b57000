import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import support
import torch

TOOLS = Path(__file__).resolve().parents[2] / 'tools'

#: One step per epoch on the first four pairs, with whole images and no randomness.
ONE_STEP = (
    support.EMA
    + """
model['generator']['restorer']['dropout'] = 0.0
model['losses']['loss_pix']['loss_weight'] = 2.0
loader = train_dataloader
loader['batch_size'] = 4
loader['sampler']['shuffle'] = False
loader['dataset']['indices'] = 4
loader['dataset']['pipeline'] = val_dataloader['dataset']['pipeline']
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1.0))
param_scheduler = None
val_dataloader = val_evaluator = val_cfg = None
"""
)


@pytest.fixture
def run_ranks(start_tool):
    """Return a function that runs a tool in two processes of one distributed run."""

    def run(tool, *arguments):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = str(free.getsockname()[1])
        ranks = [
            start_tool(
                tool,
                *arguments,
                '--launcher',
                'pytorch',
                RANK=str(rank),
                LOCAL_RANK=str(rank),
                WORLD_SIZE='2',
                MASTER_ADDR='127.0.0.1',
                MASTER_PORT=port,
            )
            for rank in range(2)
        ]
        for process in ranks:
            process.join(120)
        return [process.exitcode for process in ranks], ranks[0].log.read_text()

    return run


@pytest.mark.slow
def test_one_step_of_two_by_two_equals_one_of_four(run_ranks, run_tool, write_config, tmp_path):
    config = write_config(ONE_STEP, base='distilled')
    code, output = run_tool('train.py', config, '--work-dir', tmp_path / 'one')
    assert code == 0, output
    codes, output = run_ranks(
        'train.py', config, '--work-dir', tmp_path / 'two',
        '--cfg-options', 'train_dataloader.batch_size=2',
    )  # fmt: skip
    assert codes == [0, 0], output
    one, two = (
        [torch.load(tmp_path / name / f'epoch_{epoch}.pth') for epoch in (1, 2)]
        for name in ('one', 'two')
    )
    for alone, together in zip(one, two):
        for part in ('state_dict', 'ema_state_dict'):
            for key, weight in alone[part].items():
                torch.testing.assert_close(together[part][key], weight, rtol=0, atol=1e-5)
    moved = [
        (one[1]['state_dict'][key] - weight).abs().max()
        for key, weight in one[0]['state_dict'].items()
    ]
    assert max(moved) > 1e-3, 'the steps are too small for this comparison'


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
