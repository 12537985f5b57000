"""A killed and resumed run must end exactly like an uninterrupted run."""

import json
import os
import random
import re
import signal
import socket
from pathlib import Path

import pytest
import support
import torch
from support import equal

from mmspd.engine.checkpoints import find_resumable
from mmspd.utils.lock import lock_folder

pytestmark = pytest.mark.slow
EPOCHS, ITERATIONS = 3, 9
LOGGED = ('loss', 'loss_pix', 'loss_freq', 'lr', 'grad_norm', 'grad_norm_prior')


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
                parts = {key: record.get(key) for key in LOGGED}
                assert losses.setdefault(record['iter'], parts) == parts
    return losses


def end_of(work):
    saved = torch.load(Path(work) / f'epoch_{EPOCHS}.pth', weights_only=True)
    return {key: saved[key] for key in ('state_dict', 'ema_state_dict', 'optimizer')}


def config_with(write_config, hook='', at=0, name='tiny.py'):
    """Write the tiny guided config with EMA, clipping and, on request, a hook that kills."""
    killer = f"custom_hooks.append(dict(type='{hook}', at={at}))\n" if hook else ''
    clip = "optim_wrapper.update(type='mmspd.OptimWrapper', clip_grad=dict(max_norm=0.01))\n"
    text = support.EMA + clip + f"train_cfg['max_epochs'] = {EPOCHS}\n" + killer
    return write_config(text, name, 'guided')


@pytest.fixture
def uninterrupted(reference, run_tool, write_config, tmp_path_factory):
    if not reference:
        work = tmp_path_factory.mktemp('uninterrupted')
        code, output = run_tool('train.py', config_with(write_config), '--work-dir', work)
        assert code == 0, output
        reference.update(losses=losses_of(work), end=end_of(work))
        assert len(reference['losses']) == ITERATIONS
        assert all(None not in parts.values() for parts in reference['losses'].values())
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
    config = write_config(f"load_from = '{start}'\n")
    command = ('train.py', config, '--work-dir', tmp_path / 'work', '--resume')
    code, output = run_tool(*command)
    assert code == 0, output
    assert f'Load checkpoint from {start}' in output
    (tmp_path / 'work' / 'epoch_2.pth').unlink()
    code, output = run_tool(*command)
    assert code == 0, output
    assert f'Load checkpoint from {tmp_path}/work/epoch_1.pth' in output
    assert 'resumed epoch: 1' in output


def state_of(folder):
    """Return the names, times and contents of all files below a folder."""
    files = sorted(path for path in Path(folder).rglob('*') if path.is_file())
    return [(str(path), path.stat().st_mtime_ns, path.read_bytes()) for path in files]


def test_a_finished_or_used_folder_is_not_touched(call_tool, write_config, tmp_path):
    config, work = write_config("train_cfg['max_epochs'] = 1\n"), tmp_path / 'work'
    command = ('train.py', config, '--work-dir', work)
    code, output, error = call_tool(*command)
    assert code == 0, output + error
    before = state_of(work)
    for options in (['--resume'], ['--resume', work / 'epoch_1.pth']):
        code, output, _ = call_tool(*command, *options)
        assert (code, output) == (
            0,
            f"The run is finished, because '{work}/epoch_1.pth' is at epoch 1 of 1; to train "
            'longer, increase train_cfg.max_epochs.\n',
        )
    code, _, error = call_tool(*command)
    assert (code, error) == (
        1,
        f"error: '{work}' holds checkpoints of another run, such as best_PSNR_epoch_1.pth; "
        'continue that run with --resume, or choose another --work-dir.\n',
    )
    assert state_of(work) == before
    (work / 'epoch_1.pth').write_bytes(b'PK')
    before = state_of(work)
    damaged = work / 'epoch_1.pth'
    code, _, error = call_tool(*command, '--resume', damaged)
    assert code == 1
    sentence = rf"The checkpoint '{damaged}' cannot be read \(its archive is damaged: .*\); use an"
    assert re.fullmatch(rf'error: {sentence} earlier checkpoint\.\n', error)
    assert state_of(work) == before


def test_two_runs_in_one_folder(call_tool, write_config, tmp_path):
    config, work = write_config(), tmp_path / 'work'
    work.mkdir()
    ready, end = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        lock_folder(work)
        os.write(ready[1], b'1')
        os.read(end[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    before = state_of(work)
    code, _, error = call_tool('train.py', config, '--work-dir', work)
    os.write(end[1], b'1')
    os.waitpid(child, 0)
    host = socket.gethostname()
    assert (code, error) == (
        1,
        f"error: '{work}' is in use by process {child} on {host}; wait for its end, or choose "
        'another folder.\n',
    )
    assert state_of(work) == before


@pytest.mark.parametrize(
    ('place', 'number', 'code'),
    [
        ('config', signal.SIGINT, 130),
        ('checkpoint', signal.SIGINT, 130),
        ('checkpoint', signal.SIGTERM, 143),
        ('rename', signal.SIGINT, 130),
    ],
)
def test_interrupted_while_writing(
    call_tool, write_config, tmp_path, monkeypatch, place, number, code
):
    """The last checkpoint stays whole, and no partial file is left."""
    config, work = write_config(), tmp_path / 'work'

    def interrupt(*_, **__):
        os.kill(os.getpid(), number)

    if place == 'config':
        monkeypatch.setattr('mmengine.config.config.FormatCode', interrupt)
    else:

        def flush(handle, real=os.fsync):
            if os.readlink(f'/proc/self/fd/{handle}').endswith('.epoch_2.pth'):
                interrupt()
            real(handle)

        def rename(old, new, real=os.replace):
            if str(new).endswith('epoch_2.pth'):
                interrupt()
            real(old, new)

        name, function = ('fsync', flush) if place == 'checkpoint' else ('replace', rename)
        monkeypatch.setattr(os, name, function)
    ended, output, error = call_tool('train.py', config, '--work-dir', work)
    assert ended == code, output + error
    assert error.splitlines()[-1].startswith('error: ')
    assert not list(work.rglob('.*'))
    monkeypatch.undo()
    last = find_resumable(work)
    if place == 'config':
        assert last is None
        assert not list(work.glob('*.py'))
    else:
        assert last == str(work / 'epoch_1.pth')


FAULTS = {
    'worker': 'A data loading process has ended (DataLoader worker (pid',
    'data': "Cannot read the image '",
    'disk': "Cannot write the log '",
}


@pytest.mark.parametrize('fault', FAULTS)
def test_a_failure_of_the_system_is_one_sentence(run_tool, write_config, tmp_path, fault):
    config = write_config(f"custom_hooks = [dict(type='SystemFault', fault='{fault}')]\n")
    work, options = tmp_path / 'work', ('train_dataloader.num_workers=1',) * (fault == 'worker')
    options = ('--cfg-options', *options) if options else ()
    code, output = run_tool('train.py', config, '--work-dir', work, *options)
    assert code == 1, output
    assert 'Traceback' not in output
    assert output.strip().splitlines()[-1].startswith(f'error: {FAULTS[fault]}')
    assert find_resumable(work) == str(work / 'epoch_1.pth')
