"""The cost model's tool: real processes, predictions, and what it refuses."""

import importlib.util
import json
import os
import socket
import subprocess
from pathlib import Path

import pytest
import support

from mmspd.errors import UserError
from mmspd.utils.cost_model import Link, Step, step_seconds

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'benchmark' / 'scaling.py'

PARTS = {
    'machine': dict(device='cuda', accelerator='a GPU', processor='a processor', threads=1),
    'found': {
        'config': 'some.py',
        'variant': 'float32',
        'batch': 4,
        'crop': 256,
        'gradient': 40 << 20,
        'recipe batch': 16,
        'cases': {'1': dict(step=0.3, compute=0.3, backward=0.2)},
        'link': None,
        'samples/s of a worker': None,
    },
}


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('benchmark_scaling', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def parts(tmp_path):
    path = tmp_path / 'parts.json'
    path.write_text(json.dumps(PARTS))
    return str(path)


@pytest.fixture
def torchrun(tool, start_tool, monkeypatch):
    """Start the processes of ``measure`` as torchrun does, but with the packages imported."""

    def run(command, env, check):
        assert command[1:3] == ['-m', 'torch.distributed.run']
        assert not check
        arguments = command[command.index(str(TOOL)) + 1 :]
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = str(free.getsockname()[1])
        shared = dict(WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
        shared['OMP_NUM_THREADS'] = env['OMP_NUM_THREADS']
        ranks = [
            start_tool(
                'benchmark/scaling.py', *arguments, RANK=str(rank), LOCAL_RANK=str(rank), **shared
            )
            for rank in range(2)
        ]
        for rank in ranks:
            rank.join(120)
        logs = '\n'.join(rank.log.read_text() for rank in ranks)
        assert [rank.exitcode for rank in ranks] == [0, 0], logs
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(tool.subprocess, 'run', run)


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason='two processes need two cores')
@pytest.mark.usefixtures('torchrun')
def test_two_processes_are_measured_and_compared(tool, write_config, tmp_path, capsys):
    found = tmp_path / 'found.json'
    config = write_config(support.GUIDED + support.TAUGHT)
    tool.main(
        ['measure', config, '--batch', '1', '--crop', '16', '--rounds', '1']
        + ['--processes', '1', '2', '--samples', '2', '--json', str(found)]
    )
    assert '| 2         |' in capsys.readouterr().out
    record = json.loads(found.read_text())
    assert record['machine']['threads'] == 1
    result = record['found']
    assert result['samples/s of a worker'] > 0
    assert result['link']['bandwidth'] > 0
    for case in result['cases'].values():
        assert case['step'] > 0
        assert 0 < case['backward'] < case['compute']
        assert set(map(int, case['all_reduce'])) >= {result['gradient'], 1 << 16}
    one = result['cases']['1']
    assert one['error with the compute of its own'] == one['compute'] / one['step'] - 1


def test_prediction_states_what_is_assumed(tool, parts, tmp_path, capsys):
    found = tmp_path / 'hours.json'
    tool.main(
        ['predict', parts, '--bandwidth', '1', '--latency', '20', '--overlap', '0.1']
        + ['--gpus', '1', '8', '--epochs', '10', '--json', str(found)]
    )
    out = capsys.readouterr().out
    assert '1 GB/s assumed, 20 microseconds assumed' in out
    assert 'loading: taken to keep up; not measured' in out
    assert 'crop 256, on a GPU\n' in out
    one, eight = json.loads(found.read_text())['found']['rows']
    step = Step(0.3, 0.2, 40 << 20, 0.0)
    assert eight['step'] == pytest.approx(step_seconds(step, 8, Link(1e9, 20e-6), 0.1))
    assert (one['bound'], eight['bound']) == ('compute', 'compute + communication')
    assert eight['efficiency'] == pytest.approx(0.3 / eight['step'])
    # 2103 pairs: 526 steps of 4 on one GPU, 66 on eight, 132 of the recipe's 16
    assert one['hours']['10']['epochs'] == pytest.approx(10 * 526 * 0.3 / 3600)
    assert eight['hours']['10']['epochs'] == pytest.approx(10 * 66 * eight['step'] / 3600)
    assert eight['hours']['10']['steps'] == pytest.approx(10 * 132 * eight['step'] / 3600)


def test_slow_loading_bounds_the_step(tool, parts, capsys):
    arguments = ['--bandwidth', '100', '--latency', '1', '--gpus', '1', '4']
    tool.main(['predict', parts, *arguments, '--workers', '2', '--samples-per-worker', '4'])
    rows = [line for line in capsys.readouterr().out.splitlines() if 'loading |' in line]
    assert len(rows) == 2
    assert all('500.0' in row for row in rows)


def test_mistakes_end_in_a_sentence(tool, parts, write_config, tmp_path):
    with pytest.raises(UserError, match='has no bandwidth: give --bandwidth'):
        tool.main(['predict', parts])
    with pytest.raises(UserError, match='--overlap 2.0: give a share'):
        tool.main(['predict', parts, '--overlap', '2'])
    (tmp_path / 'other.json').write_text('{}')
    with pytest.raises(UserError, match='is not what measure wrote'):
        tool.main(['predict', str(tmp_path / 'other.json')])
    with pytest.raises(UserError, match='--processes 1 4096: this machine has room for 1 to'):
        tool.main(['measure', write_config(), '--processes', '1', '4096'])


@pytest.mark.parametrize('wrong', [['--gpus', '1', '0'], ['--samples-per-worker', '0']])
def test_numbers_that_mean_nothing_are_refused(tool, parts, wrong, capsys):
    with pytest.raises(SystemExit):
        tool.main(['predict', parts, *wrong])
    assert f'argument {wrong[0]}: 0 is not' in capsys.readouterr().err
