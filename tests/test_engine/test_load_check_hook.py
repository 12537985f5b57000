import hashlib
import os
from pathlib import Path

import pytest
import support
import torch
from mmengine.runner.checkpoint import _load_checkpoint

from mmspd.errors import UserError


@pytest.fixture
def save(make_runner, tmp_path):
    """Return a function that saves the weights of a runner, changed by a function."""

    def save(runner, change=lambda weights: weights, prefix=''):
        weights = {prefix + key: value for key, value in runner.model.state_dict().items()}
        path = tmp_path / 'weights.pth'
        torch.save(dict(state_dict=change(weights), meta={}), path)
        return str(path)

    return save


def load(runner, path):
    runner._load_from = path
    runner.load_or_resume()
    return runner.model.state_dict()


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_weights_that_fit_are_loaded(make_runner, save, prefix):
    runner = make_runner()
    path = save(runner, lambda w: {key: value + 1 for key, value in w.items()}, prefix)
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    after = load(runner, path)
    assert all(torch.equal(after[key], before[key] + 1) for key in before)


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (
            lambda w: dict(list(w.items())[: len(w) // 2]),
            r'\d+ missing \(generator\.\S+, \S+, \S+, \.\.\.\)',
        ),
        (lambda w: {**w, 'generator.extra': torch.ones(1)}, r'1 unexpected \(generator.extra\)'),
        (
            lambda w: {**w, 'generator.SCM1.conv.main.0.bias': torch.ones(3)},
            r'1 of another shape \(generator.SCM1.conv.main.0.bias is \(3,\) instead of \(16,\)\)',
        ),
    ],
    ids=['missing', 'unexpected', 'shape'],
)
def test_weights_that_do_not_fit_are_refused(make_runner, save, change, sentence):
    runner = make_runner()
    path = save(runner, change)
    with pytest.raises(UserError, match=sentence) as error:
        load(runner, path)
    assert path in str(error.value)
    assert 'tiny.py' in str(error.value)


@pytest.mark.parametrize('wrap', [dict, lambda weights: {'params': weights}])
def test_other_files_are_refused_with_a_hint(make_runner, tmp_path, wrap):
    torch.save(wrap({'conv.weight': torch.ones(1)}), tmp_path / 'foreign.pth')
    with pytest.raises(UserError, match="has no 'state_dict' with generator.*load_official"):
        load(make_runner(), str(tmp_path / 'foreign.pth'))


@pytest.fixture
def official(make_runner, tmp_path):
    """The restorer of the tiny config in the file format of MIMO-UNet's authors: path, weights."""
    weights = make_runner(work='official').model.generator.state_dict()
    weights = {key: torch.randn_like(value) / 20 for key, value in weights.items()}
    torch.save({'model': weights, 'epoch': 3000}, tmp_path / 'official.pkl')
    return str(tmp_path / 'official.pkl'), weights


@pytest.mark.parametrize('resume', [False, pytest.param(True, marks=pytest.mark.slow)])
def test_training_from_official_weights_names_load_official(make_runner, official, resume):
    path, _ = official
    sentence = 'holds published weights of MIMO-UNet .*; start from it with --cfg-options '
    with pytest.raises(UserError, match=f'{sentence}model.load_official={path}'):
        make_runner(load_from=path, resume=resume).train()


@pytest.mark.parametrize(
    ('base', 'ema'),
    [
        ('tiny', ''),
        pytest.param('guided', '', marks=pytest.mark.slow),
        pytest.param('guided', support.EMA, marks=pytest.mark.slow),
    ],
)
def test_official_weights_are_tested_without_changes(make_runner, official, base, ema):
    path, weights = official
    runner = make_runner(ema, base=base, load_from=path)
    result = runner.test()
    generator = runner.model.generator
    own = getattr(generator, 'restorer', generator).state_dict()
    assert all(torch.equal(own[key], value) for key, value in weights.items())
    plain = make_runner(work='plain')
    plain.model.generator.load_state_dict(weights, strict=True)
    assert result['PSNR'] == plain.test()['PSNR']


def test_unreadable_files_have_a_clear_message(official, tmp_path):
    path, _ = official
    torch.save({'state_dict': {}, 'meta': Path('/')}, tmp_path / 'hostile.pth')
    with pytest.raises(UserError, match='checkpoint: .*hostile.pth .*: it needs pathlib'):
        _load_checkpoint(str(tmp_path / 'hostile.pth'))
    os.truncate(path, 5000)
    with pytest.raises(UserError, match='checkpoint: .* it is truncated or damaged'):
        _load_checkpoint(path)
    with pytest.raises(FileNotFoundError):
        _load_checkpoint(str(tmp_path / 'none.pth'))


def test_official_weights_of_another_restorer_are_not_tested(make_runner, official):
    path, _ = official
    runner = make_runner("model['generator'] = dict(type='mmspd.UNet', base=4)", load_from=path)
    with pytest.raises(UserError, match=r'checkpoint: .* does not fit UNet: .*like MIMO-UNet of'):
        runner.test()


@pytest.mark.slow
@pytest.mark.parametrize('ema', ['', pytest.param(support.EMA, marks=pytest.mark.slow)])
def test_training_starts_from_load_official(make_runner, official, ema):
    """With a learning rate of zero, the saved weights equal the initial ones, averaged or not."""
    path, weights = official
    changes = {'model.load_official': path, 'optim_wrapper.optimizer.lr': 0.0}
    runner = make_runner(ema, base='guided', **changes, param_scheduler=None)
    runner.train()
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    log = next(Path(runner.log_dir).glob('*.log')).read_text()
    assert log.count(f'The weights {path} have the SHA-256 {digest}.') == 1
    saved = torch.load(f'{runner.work_dir}/epoch_2.pth', weights_only=True)['state_dict']
    for key, value in weights.items():
        torch.testing.assert_close(saved[f'generator.restorer.{key}'], value)


@pytest.mark.parametrize('ema', ['', support.EMA])
def test_plain_checkpoint_starts_a_guided_model_with_a_warning(make_runner, save, caplog, ema):
    path = save(make_runner(), lambda w: {key: value + 1 for key, value in w.items()})
    plain = torch.load(path)['state_dict']
    runner = make_runner(ema, 'guided', 'guided')
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.logger.addHandler(caplog.handler)
    runner.call_hook('before_run')  # here EMAHook copies the model
    after = load(runner, path)
    assert 'start from their initial values' in caplog.text
    for key, value in after.items():
        source = key.replace('generator.restorer.', 'generator.')
        expected = plain[source] if 'restorer' in key else before[key]
        assert torch.equal(value, expected), key
    if ema:
        hook = next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook')
        averaged = hook.ema_model.module.state_dict()
        assert all(torch.equal(averaged[key], after[key]) for key in after)


@pytest.mark.parametrize(
    ('saved', 'base', 'resume', 'sentence'),
    [
        ('tiny', 'guided', True, 'cannot be resumed as a guided model'),
        ('guided', 'tiny', False, 'describes a plain restorer; use the guided'),
        ('guided', 'guided', False, r'missing \(generator.prior'),
    ],
    ids=['resumed', 'plain', 'without prior'],
)
def test_guided_and_plain_models_are_not_mixed_up(make_runner, save, saved, base, resume, sentence):
    """The saved weights do not include the prior."""
    path = save(make_runner(base=saved), lambda w: {k: w[k] for k in w if '.prior.' not in k})
    with pytest.raises(UserError, match=sentence):
        load(make_runner(work='other', base=base, resume=resume), path)


def test_models_without_a_generator_are_not_checked(make_runner, tmp_path):
    runner = make_runner()
    runner.model = torch.nn.Linear(1, 1)
    torch.save(dict(state_dict=dict(weight=torch.ones(1, 1))), tmp_path / 'other.pth')
    assert load(runner, str(tmp_path / 'other.pth'))['weight'] == 1
