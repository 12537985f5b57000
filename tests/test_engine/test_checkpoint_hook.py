import os
import time
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from mmspd.engine import CheckpointHook
from mmspd.engine.atomic_backend import AtomicBackend
from mmspd.engine.checkpoint_hook import find_resumable
from mmspd.errors import UserError


def names(folder):
    return sorted(path.name for path in Path(folder).glob('*.pth'))


def test_keeps_the_newest_and_the_best(make_runner, tmp_path, monkeypatch):
    """The old file is deleted after the new one is saved, so at least two always exist."""
    seen = []
    real = AtomicBackend.remove

    def remove(self, path):
        if self._deferred is None:
            seen.append((Path(path).name, names(tmp_path / 'work')))
        real(self, path)

    monkeypatch.setattr(AtomicBackend, 'remove', remove)
    runner = make_runner(
        **{'train_cfg.max_epochs': 4, 'default_hooks.checkpoint.max_keep_ckpts': 2}
    )
    runner.train()
    best = runner.message_hub.get_info('best_ckpt')
    assert names(tmp_path / 'work') == [Path(best).name, 'epoch_3.pth', 'epoch_4.pth']
    for name, there in seen:
        new = f'epoch_{int(name[6:-4]) + 2}.pth'
        assert new in there, f'{name} was deleted before {new} was saved'
    assert [name for name, _ in seen] == ['epoch_1.pth', 'epoch_2.pth']
    assert 'optimizer' not in torch.load(best)


@pytest.mark.slow
def test_best_is_replaced_only_by_a_saved_better_one(make_runner, tmp_path, monkeypatch):
    runner = make_runner(**{'train_cfg.max_epochs': 1})
    runner.train()
    hook = next(hook for hook in runner.hooks if isinstance(hook, CheckpointHook))
    first = Path(hook.best_ckpt_path)
    runner.train_loop._epoch = 2
    hook.after_val_epoch(runner, {'PSNR': 1000.0})
    second = Path(hook.best_ckpt_path)
    assert (first.exists(), second.exists()) == (False, True)

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'replace', full)
    runner.train_loop._epoch = 3
    with pytest.raises(UserError, match='No disk space is left to write .*best_PSNR'):
        hook.after_val_epoch(runner, {'PSNR': 1001.0})
    assert second.exists()


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (dict(max_keep_ckpts=1), 'set it to 2 or more'),
        (dict(intervall=2), "no argument 'intervall'; use 'interval' instead"),
        (dict(zzz=2), "no argument 'zzz'; remove it"),
        (dict(backend_args=dict(backend='petrel')), "type='mmengine.CheckpointHook'"),
        (dict(out_dir='s3://bucket/x'), "type='mmengine.CheckpointHook'"),
    ],
)
def test_bad_arguments_are_refused(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        CheckpointHook(**arguments)


@pytest.mark.slow
def test_out_dir_is_written_and_resumed_from(make_runner, tmp_path):
    changes = {'default_hooks.checkpoint.out_dir': str(tmp_path / 'elsewhere')}
    make_runner(**{'train_cfg.max_epochs': 1}, **changes).train()
    saved = tmp_path / 'elsewhere' / 'work' / 'epoch_1.pth'
    assert saved.exists()
    assert not names(tmp_path / 'work')
    runner = make_runner(resume=True, **changes)
    runner.call_hook('before_run')
    assert runner._load_from == str(saved)


def test_validation_without_training_saves_no_checkpoint(make_runner, tmp_path):
    assert make_runner().val()['PSNR'] > 0
    assert not names(tmp_path / 'work')


class TestFindResumable:
    @pytest.fixture
    def folder(self, tmp_path):
        """Three checkpoints. The first was saved last, as after a restart."""
        for age, number in enumerate((1, 3, 2)):
            path = tmp_path / f'epoch_{number}.pth'
            torch.save(dict(number=number, weight=torch.zeros(100)), path)
            moment = time.time() - age
            os.utime(path, (moment, moment))
        return tmp_path

    def test_finds_the_checkpoint_saved_last(self, folder):
        assert find_resumable(folder) == str(folder / 'epoch_1.pth')

    def test_skips_a_truncated_and_a_damaged_file_with_a_warning(self, folder):
        cut, damaged = folder / 'epoch_1.pth', folder / 'epoch_3.pth'
        times = {path: path.stat().st_mtime_ns for path in (cut, damaged)}
        cut.write_bytes(cut.read_bytes()[:-10])
        content = bytearray(damaged.read_bytes())
        at = content.index(bytes(400))  # the weight
        content[at + 100] = 1
        damaged.write_bytes(content)
        for path, moment in times.items():
            os.utime(path, ns=(moment, moment))
        warnings = []
        assert find_resumable(folder, warn=warnings.append) == str(folder / 'epoch_2.pth')
        assert [str(path) in text for path, text in zip((cut, damaged), warnings)] == [True, True]

    def test_fails_if_no_checkpoint_is_readable(self, folder):
        for path in folder.glob('*.pth'):
            path.write_bytes(b'PK')
        with pytest.raises(UserError, match='None of the 3 checkpoints'):
            find_resumable(folder)

    def test_no_checkpoint_and_no_folder(self, tmp_path):
        torch.save({}, tmp_path / 'best_PSNR_epoch_1.pth')
        assert find_resumable(tmp_path) is None
        assert find_resumable(tmp_path / 'missing') is None

    def test_does_not_run_code_of_the_file(self, tmp_path):
        class Hostile:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / 'marker'),)

        torch.save(Hostile(), tmp_path / 'epoch_1.pth')
        assert find_resumable(tmp_path) is not None
        assert not (tmp_path / 'marker').exists()


class OnDevice(torch.Tensor):
    """Imitates a tensor on an accelerator."""

    def cpu(self):
        return self.as_subclass(torch.Tensor) + 100


def on_device(value):
    return torch.tensor(value).as_subclass(OnDevice)


def test_averaged_weights_are_moved_to_the_cpu():
    checkpoint = dict(state_dict=OrderedDict(weight=on_device(7.0)))
    CheckpointHook().before_save_checkpoint(None, checkpoint)
    assert checkpoint['state_dict']['weight'] == 107


def test_step_counters_are_moved_to_the_cpu():
    """The checkpoint has one optimizer or several. SGD has no step counter."""

    def adam():
        step = on_device(7.0)
        return dict(state={0: dict(step=step, exp_avg=torch.zeros(2))}, param_groups=[])

    sgd = dict(state={0: dict(momentum_buffer=None)}, param_groups=[])
    for state in (adam(), dict(generator=adam(), other=sgd)):
        CheckpointHook().after_load_checkpoint(None, dict(optimizer=state))
        moved = state.get('generator', state)['state'][0]['step']
        assert moved == 107
    CheckpointHook().after_load_checkpoint(None, dict(state_dict={}))
