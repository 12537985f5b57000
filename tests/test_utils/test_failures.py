"""Errors of DataLoader workers, of components built from a config, and missing packages."""

import importlib
import re
import sys

import pytest
from mmengine.config import Config
from mmengine.registry import HOOKS, VISBACKENDS
from torch._utils import ExceptionWrapper

from mmspd.datasets.image_io import ColorError
from mmspd.errors import UsageError, UserError
from mmspd.registry import MODELS, TRANSFORMS, build_model
from mmspd.utils.failures import failure_of, sentence_of


class TwoArgumentsError(UserError):
    """An error that PyTorch cannot construct from a message."""

    def __init__(self, name, fix):
        super().__init__(f'{name} is wrong; {fix}.')


def chained():
    try:
        raise KeyError('inner')
    except KeyError as error:
        raise UserError('the outer error; mend it.') from error


def fail(error):
    raise error


def error_of(function):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the tests look at the error
        function()
    return caught.value


def error_of_worker(function):
    """Return the error that a DataLoader raises if a worker calls the function."""
    try:
        function()
    except Exception:
        wrapper = ExceptionWrapper(where='in DataLoader worker process 0')
    return error_of(wrapper.reraise)


FAKE = "UserError: no\nTraceback (most recent call last):\n  File 'x'\nmmspd.errors.UserError: fake"


@pytest.mark.parametrize(
    ('function', 'sentence'),
    [
        (lambda: fail(UserError('a.png is bad; mend it.')), 'a.png is bad; mend it.'),
        (lambda: fail(ColorError('a.png is gray; mend it.')), 'a.png is gray; mend it.'),
        (lambda: fail(TwoArgumentsError('a.png', 'mend it')), 'a.png is wrong; mend it.'),
        (
            lambda: fail(UserError('two\n  lines: UserError: x; mend.')),
            'two lines: UserError: x; mend.',
        ),
        (lambda: fail(UserError(FAKE)), ' '.join(FAKE.split())),
        (lambda: fail(UserError('Zürich: {}; mend it.')), 'Zürich: {}; mend it.'),
        (chained, 'the outer error; mend it.'),
    ],
    ids=['plain', 'subclass', 'two arguments', 'lines', 'fake', 'unicode', 'chained'],
)
def test_an_error_of_a_worker_reads_like_one_without_workers(function, sentence):
    assert failure_of(error_of_worker(function)) == failure_of(error_of(function)) == (sentence, 1)


def test_nested_errors_of_workers():
    inner = str(error_of_worker(lambda: fail(UserError('deep; mend it.'))))
    outer = error_of_worker(lambda: fail(UserError(inner)))
    assert str(outer).count('Caught UserError in DataLoader worker process 0.') == 2
    assert failure_of(outer) == ('deep; mend it.', 1)


def test_a_usage_error_of_a_worker_has_its_exit_code():
    assert failure_of(error_of_worker(lambda: fail(UsageError('no; mend.')))) == ('no; mend.', 2)


def test_an_unknown_name_in_a_worker():
    error = error_of_worker(lambda: TRANSFORMS.build(dict(type='mmspd.LoadImagePiar')))
    sentence, code = failure_of(error)
    assert sentence.startswith("There is no transform named 'mmspd.LoadImagePiar'; check its")
    assert 'mmspd.LoadImagePair' in sentence.partition('similar names:')[2]
    assert code == 2


@pytest.mark.parametrize(
    'error', [KeyError('x'), TypeError("f() got an unexpected keyword argument 'x'"), ValueError()]
)
@pytest.mark.parametrize('raised', [error_of, error_of_worker])
def test_bugs_are_bugs_with_and_without_workers(raised, error):
    assert failure_of(raised(lambda: fail(error))) is None


def test_bugs_in_the_code_of_a_component_are_bugs(monkeypatch):
    @MODELS.register_module(name='Buggy', force=True)
    class Buggy:
        def __init__(self):
            undefined_name  # noqa: B018, F821

    assert failure_of(error_of(lambda: build_model(dict(type='mmspd.Buggy')))) is None


@pytest.mark.parametrize(
    ('config', 'sentence'),
    [
        (
            dict(type='mmspd.UNet', base='x', num_res=2),
            r"^mmspd\.UNet \(model\) cannot be built with base='x', num_res=2 \(TypeError: .*\); "
            r'correct its values in the config\.$',
        ),
        (
            dict(type='mmspd.UNet', base=-4),
            r'^mmspd\.UNet \(model\) cannot .* base=-4 \(RuntimeError',
        ),
        (
            dict(type='mmspd.UNet', nmu_res=2),
            r"^UNet \(model\) has no argument 'nmu_res' \(similar names: num_res\); check its",
        ),
        (
            dict(type='mmspd.UNnet'),
            r"^There is no model named 'mmspd\.UNnet'; .* \(key: model\.type;",
        ),
        (
            dict(type='mmspd.SPL', extractor=dict(type='mmspd.X')),
            "^There is no model named 'mmspd.X'",
        ),
        (
            dict(type='mmspd.SPL', extractor=dict(a=1)),
            r"^A .* \{'a': 1\}; write it as dict\(type=...",
        ),
        (dict(type=5), r'^5 \(model\) cannot be built \(TypeError: type must be a str'),
    ],
)
def test_a_component_that_cannot_be_built_is_named(config, sentence):
    def build():
        config = whole  # the whole config is found in the local variables
        build_model(config.model)

    whole = Config(dict(model=config))
    failure = failure_of(error_of(build))
    assert failure.code == 2
    assert re.search(sentence, failure.sentence)


def test_a_hook_without_a_type():
    def build():
        config = Config(dict(default_hooks=dict(logger=dict(type='LoggerHook'), logggr=dict(n=5))))
        HOOKS.build(config.default_hooks.logggr)

    assert failure_of(error_of(build)) == (
        "default_hooks.logggr has no 'type'; check the spelling of logggr (similar names: logger), "
        'or set default_hooks.logggr.type.',
        2,
    )


@pytest.mark.parametrize(
    ('name', 'package'),
    [('wandb', 'wandb'), ('skimage', 'scikit-image'), ('cv2.x', 'opencv-python-headless')],
)
def test_a_missing_package_is_named(monkeypatch, name, package):
    top = name.partition('.')[0]
    monkeypatch.setitem(sys.modules, top, None)
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, 'find_spec', lambda n: None if n == top else real(n))
    failure = failure_of(error_of(lambda: importlib.import_module(name)))
    assert failure == (f'The package {package} is not installed; run pip install {package}.', 1)


def test_a_package_that_mmengine_needs(tmp_path):
    backend = VISBACKENDS.build(dict(type='ClearMLVisBackend', save_dir=str(tmp_path)))
    error = error_of(lambda: backend.experiment)
    assert failure_of(error) == (
        'The package clearml is not installed; run pip install clearml.',
        1,
    )


@pytest.mark.parametrize(
    'function',
    [
        lambda: importlib.import_module('mmspd.no_such_module'),
        lambda: exec('from mmspd.errors import no_such_name'),
    ],
)
def test_a_wrong_import_of_mmspd_is_a_bug(function):
    assert failure_of(error_of(function)) is None


def test_the_sentence_of_a_wrapped_error():
    assert sentence_of(UserError('class `A` in a/b.py: class `B` in b.py: It\n is wrong.')) == (
        'It is wrong.'
    )
