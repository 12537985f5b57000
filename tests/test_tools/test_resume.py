"""A killed and resumed run must end exactly like an uninterrupted run."""

import json
import os
import random
from pathlib import Path

import pytest
import support
import torch

from mmspd.engine.checkpoint_hook import find_resumable

pytestmark = pytest.mark.slow
EPOCHS, ITERATIONS = 3, 9


@pytest.fixture(scope='module')
def reference():
    """Losses and end of an uninterrupted run. The first test that needs them runs it."""
    return {}


def losses_of(work):
    """Return the logged losses by iteration, and compare those that were logged twice."""
    losses = {}
    for file in sorted(Path(work).glob('*/vis_data/scalars.json')):
        for line in file.read_text().splitlines():
            record = json.loads(line)
            if 'loss_pix' in record:
                parts = {key: record[key] for key in ('loss', 'loss_pix', 'loss_freq', 'lr')}
                assert losses.setdefault(record['iter'], parts) == parts
    return losses


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def end_of(work):
    saved = torch.load(Path(work) / f'epoch_{EPOCHS}.pth', weights_only=True)
    return {key: saved[key] for key in ('state_dict', 'ema_state_dict', 'optimizer')}


def config_with(write_config, hook='', at=0, name='tiny.py'):
    """Write the tiny guided config with EMA and, on request, a hook that kills the run."""
    killer = f"custom_hooks.append(dict(type='{hook}', at={at}))\n" if hook else ''
    text = support.EMA + f"train_cfg['max_epochs'] = {EPOCHS}\n" + killer
    return write_config(text, name, 'guided')


@pytest.fixture
def uninterrupted(reference, run_tool, write_config, tmp_path_factory):
    if not reference:
        work = tmp_path_factory.mktemp('uninterrupted')
        code, output = run_tool('train.py', config_with(write_config), '--work-dir', work)
        assert code == 0, output
        reference.update(losses=losses_of(work), end=end_of(work))
        assert len(reference['losses']) == ITERATIONS
    return reference


@pytest.mark.parametrize(
    ('workers', 'persistent'), [(0, False), (2, False), (2, True)], ids=['0', '2', '2-persistent']
)
def test_killed_and_resumed_run_equals_an_uninterrupted_one(
    run_tool, write_config, tmp_path, uninterrupted, workers, persistent
):
    work, at = tmp_path / 'work', random.randrange(1, ITERATIONS)
    loader = [
        f'train_dataloader.num_workers={workers}',
        f'train_dataloader.persistent_workers={persistent}',
    ]
    killed = config_with(write_config, 'KillAtIteration', at)
    code, output = run_tool('train.py', killed, '--work-dir', work, '--cfg-options', *loader)
    assert code == -9, output
    assert len(losses_of(work)) == at
    config = config_with(write_config)
    code, output = run_tool(
        'train.py', config, '--work-dir', work, '--resume', '--cfg-options', *loader
    )
    assert code == 0, output
    assert losses_of(work) == uninterrupted['losses'], f'killed at iteration {at}'
    assert equal(end_of(work), uninterrupted['end']), f'killed at iteration {at}'


def test_killed_while_saving_is_always_resumable(run_tool, write_config, tmp_path, uninterrupted):
    """The test kills 3 times by default. Set MMSPD_KILLS for more."""
    work, tries, kills, saved = tmp_path / 'work', 0, 0, 0
    while kills < int(os.environ.get('MMSPD_KILLS', '3')):
        # each file needs three system calls, and an epoch writes at most six files
        at = random.randrange(1, 20)
        tries += 1
        config = config_with(write_config, 'KillDuringSave', at, f'tiny{tries}.py')
        code, output = run_tool('train.py', config, '--work-dir', work, '--resume')
        if code == 0:  # the run ended before the kill, so start another run
            work, saved = tmp_path / f'work{tries}', 0
            continue
        assert code == -9, output
        kills += 1
        path = find_resumable(work)
        epoch = 0 if path is None else int(Path(path).stem.rpartition('_')[2])
        assert epoch >= saved, f'killed at call {at}'
        saved = epoch
    code, output = run_tool('train.py', config_with(write_config), '--work-dir', work, '--resume')
    assert code == 0, output
    assert not list(work.glob('.*'))
    assert equal(end_of(work), uninterrupted['end'])


def test_resume_falls_back_to_the_readable_checkpoint(run_tool, write_config, tmp_path):
    config, work = write_config(), tmp_path / 'work'
    code, output = run_tool('train.py', config, '--work-dir', work)
    assert code == 0, output
    newest = work / 'epoch_2.pth'
    newest.write_bytes(newest.read_bytes()[:-1000])
    code, output = run_tool('train.py', config, '--work-dir', work, '--resume')
    assert code == 0, output
    assert f'The checkpoint {newest} cannot be read' in output
    assert 'resumed epoch: 1' in output

    for file in work.glob('epoch_*.pth'):
        file.write_bytes(b'')
    code, output = run_tool('train.py', config, '--work-dir', work, '--resume')
    assert code == 1
    assert output.strip().splitlines()[-1].startswith('error: None of the 2 checkpoints in')


def test_resume_without_a_checkpoint_starts_a_new_run_with_a_warning(
    run_tool, write_config, tmp_path
):
    code, output = run_tool(
        'train.py', write_config(), '--work-dir', tmp_path / 'work', '--resume',
        '--cfg-options', 'train_cfg.max_epochs=1',
    )  # fmt: skip
    assert code == 0, output
    assert 'so a new run starts' in output


def test_resume_keeps_load_from_of_the_config(run_tool, write_config, tmp_path):
    first = run_tool('train.py', write_config(), '--work-dir', tmp_path / 'first')
    assert first[0] == 0, first[1]
    start = tmp_path / 'first' / 'epoch_2.pth'
    config = write_config(f"load_from = '{start}'\ntrain_cfg['max_epochs'] = 1\n")
    command = ('train.py', config, '--work-dir', tmp_path / 'work', '--resume')
    code, output = run_tool(*command)
    assert code == 0, output
    assert f'Load checkpoint from {start}' in output
    code, output = run_tool(*command)
    assert code == 0, output
    assert f'Load checkpoint from {tmp_path}/work/epoch_1.pth' in output
    assert 'resumed epoch: 1' in output
