import os
import re
import shutil
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from mmspd.engine import CheckpointHook
from mmspd.engine.atomic_backend import AtomicBackend
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


@pytest.fixture(scope='module')
def first_run(tmp_path_factory):
    """A folder for the work folder of a run. The first test that needs the run trains it."""
    return tmp_path_factory.mktemp('first_run') / 'work'


@pytest.fixture
def trained(make_runner, first_run, tmp_path):
    """The work folder of a run of one epoch."""
    if not first_run.exists():
        make_runner(work='first', **{'train_cfg.max_epochs': 1}).train()
        shutil.copytree(tmp_path / 'first', first_run)
    shutil.copytree(first_run, tmp_path / 'work')
    return tmp_path / 'work'


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def prepare(runner):
    """Load the checkpoint and prepare the training, without a training step."""
    runner.train_loop  # noqa: B018  builds the loop
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    runner.call_hook('before_run')
    runner.load_or_resume()
    hook = next(hook for hook in runner.hooks if isinstance(hook, CheckpointHook))
    hook.before_train(runner)
    return hook


@pytest.mark.slow
def test_resume_in_another_folder_deletes_nothing(make_runner, tmp_path):
    """The resumed run finds a better model, but the best model of the other run stays."""
    make_runner(**{'train_cfg.max_epochs': 1}).train()
    first = tmp_path / 'work'
    before, start = contents(first), str(first / 'epoch_1.pth')
    make_runner(work='other', resume=True, load_from=start).train()
    assert contents(first) == before
    other = tmp_path / 'other'
    assert names(other) == ['best_PSNR_epoch_2.pth', 'epoch_2.pth']
    info = torch.load(other / 'epoch_2.pth')['message_hub']['runtime_info']
    assert info['best_ckpt'] == str(other / 'best_PSNR_epoch_2.pth')
    assert info['last_ckpt'] == str(other / 'epoch_2.pth')
    assert info['keep_ckpt_ids'] == [2]


@pytest.mark.slow
@pytest.mark.parametrize('metrics', ['PSNR', ['PSNR', 'SSIM']])
@pytest.mark.parametrize('link', [False, True])
def test_a_moved_folder_keeps_its_best_checkpoint(make_runner, trained, tmp_path, metrics, link):
    moved = tmp_path / 'moved'
    if link:
        moved.symlink_to(trained)
    else:
        trained.rename(moved)
    score = torch.load(moved / 'epoch_1.pth')['message_hub']['runtime_info']['best_score']
    changes = {'default_hooks.checkpoint.save_best': metrics}
    runner = make_runner(work='moved', resume=True, **changes)
    hook = prepare(runner)
    suffix = '' if metrics == 'PSNR' else '_PSNR'
    best = runner.message_hub.get_info(f'best_ckpt{suffix}')
    assert best == str(moved / 'best_PSNR_epoch_1.pth')
    assert runner.message_hub.get_info(f'best_score{suffix}') == score
    assert runner.message_hub.get_info('last_saved_ckpt') == str(moved / 'epoch_1.pth')
    runner.train_loop._epoch = 2
    hook.after_val_epoch(runner, {'PSNR': score + 1, 'SSIM': 1.0})
    assert not Path(best).exists()
    assert (moved / 'best_PSNR_epoch_2.pth').exists()


@pytest.mark.slow
def test_outdated_best_checkpoints_are_deleted_at_resume(make_runner, trained, caplog):
    """The run was killed after it saved a better checkpoint and before it deleted the other."""
    best = trained / 'best_PSNR_epoch_1.pth'
    content = torch.load(best)
    score = content['message_hub']['runtime_info']['best_score']
    for number, gain in ((2, 3), (3, -3)):
        content['message_hub']['runtime_info']['best_score'] = score + gain
        torch.save(content, trained / f'best_PSNR_epoch_{number}.pth')
    others = ['best_PSNR_epoch_4.pth', 'best_SSIM_epoch_1.pth', 'best_PSNR_of_all.pth']
    for name in others:
        (trained / name).write_bytes(b'damaged')
    runner = make_runner(resume=True)
    runner.logger.addHandler(caplog.handler)
    prepare(runner)
    assert names(trained) == sorted([*others, 'best_PSNR_epoch_2.pth', 'epoch_1.pth'])
    info = runner.message_hub.runtime_info
    assert (info['best_score'], info['best_ckpt']) == (
        score + 3,
        str(trained / 'best_PSNR_epoch_2.pth'),
    )
    assert f'The best checkpoint {trained}/best_PSNR_epoch_4.pth has no score' in caplog.text


def refusal(runner):
    with pytest.raises(UserError) as error:
        runner.train()
    return str(error.value)


@pytest.mark.slow
def test_a_used_folder_is_refused(make_runner, trained, tmp_path):
    before = contents(trained)
    sentence = f"'{trained}' holds checkpoints of another run, such as {{}}; continue that run"
    assert refusal(make_runner()).startswith(sentence.format('best_PSNR_epoch_1.pth'))
    # the resumed checkpoint belongs to another run
    foreign = tmp_path / 'epoch_1.pth'
    foreign.write_bytes((trained / 'epoch_1.pth').read_bytes())
    runner = make_runner(resume=True, load_from=str(foreign))
    assert refusal(runner).startswith(sentence.format('best_PSNR_epoch_1.pth'))
    (trained / 'epoch_2.pth').write_bytes(b'')
    runner = make_runner(resume=True, load_from=str(trained / 'epoch_1.pth'))
    assert 'would replace the later epoch_2.pth; continue with --resume alone' in refusal(runner)
    (trained / 'epoch_2.pth').unlink()
    for name, content in before.items():
        if name != 'tiny.py':  # MMEngine writes the config before it starts
            assert (trained / name).read_bytes() == content
    # only the best checkpoint is left
    (trained / 'epoch_1.pth').unlink()
    assert refusal(make_runner(resume=True)).startswith(sentence.format('best_PSNR_epoch_1.pth'))


@pytest.mark.slow
@pytest.mark.parametrize('part', ['optimizer', 'param_schedulers'])
def test_a_named_checkpoint_without_a_part_is_refused(make_runner, trained, part):
    content = torch.load(trained / 'epoch_1.pth')
    del content[part]
    torch.save(content, trained / 'epoch_1.pth')
    runner = make_runner(resume=True, load_from=str(trained / 'epoch_1.pth'))
    assert f"cannot continue from '{trained}/epoch_1.pth' (it has no {part})" in refusal(runner)


@pytest.mark.slow
def test_checkpoints_that_do_not_fit_the_run_are_skipped(make_runner, trained, caplog):
    content = torch.load(trained / 'epoch_1.pth')
    for number, part in ((2, 'param_schedulers'), (3, 'state_dict')):
        whole = dict(content, **{part: content[part].copy()})
        whole[part].pop(0 if number == 2 else next(iter(whole[part])))
        torch.save(whole, trained / f'epoch_{number}.pth')
    (trained / 'epoch_4.pth').mkdir()
    runner = make_runner(resume=True)
    runner.logger.addHandler(caplog.handler)
    prepare(runner)
    assert runner.epoch == 1
    assert (trained / 'epoch_4.pth.folder').is_dir()  # a later checkpoint needs the name
    for text in ('epoch_2.pth cannot be read (it has no param_schedulers)', '(it is a folder)'):
        assert text in caplog.text
    assert re.search(r'epoch_3.pth cannot be read \(its state_dict has no generator\.', caplog.text)


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
