import argparse

import pytest

from mmspd.errors import UserError
from mmspd.utils.launch import (
    add_common_arguments,
    check_file,
    prepare_config,
    read_config,
)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a config and returns its path."""

    def write(text, name='some.py'):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def prepare(*arguments):
    parser = argparse.ArgumentParser()
    add_common_arguments(parser)
    return prepare_config(parser.parse_args(map(str, arguments)))


def test_work_folder_of_the_command_line_has_priority(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = write("work_dir = './stated'")
    assert prepare(config).work_dir == './stated'
    assert prepare(config, '--work-dir', tmp_path / 'given').work_dir == str(tmp_path / 'given')
    assert prepare(write('model = None', 'other.py')).work_dir == 'work_dirs/other'


def test_work_folder_that_cannot_be_created(write, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='work folder .*/file/work cannot be created'):
        prepare(write('model = None'), '--work-dir', tmp_path / 'file' / 'work')


def test_options_change_nested_values_and_lists(write):
    path = write('model = dict(a=dict(b=1), c=[dict(d=1), dict(d=2)])')
    config = read_config(path, {'model.a.b': 2, 'model.c.1.d': 3, 'auto_scale_lr.enable': True})
    assert config.model == dict(a=dict(b=2), c=[dict(d=1), dict(d=3)])
    assert config.auto_scale_lr.enable


@pytest.mark.parametrize(
    ('text', 'options', 'sentence'),
    [
        ('model = dict(', {}, 'some.py is not a valid config'),
        ("_base_ = './missing.py'", {}, r'some.py is not a valid config \(.*missing.py'),
        ('model = unknown', {}, r'some.py is not a valid config \(.*unknown'),
        ('model = [1]', {'model.4': 1}, '--cfg-options does not fit'),
        ('model = dict()', {'modle.a': 1}, r"has no key 'modle'; .* \(similar key: 'model'\)"),
        ('modle = dict()', {}, "has the key 'modle', which has no effect; rename it to 'model'"),
        ('n = 1\nmodel = dict(n=n)', {'n': 2}, 'n has no effect, .* such as model.n'),
        ('model = dict()', {'activation_checkpointing': ['a']}, 'has no key'),
    ],
)
def test_bad_configs_and_options_are_user_errors(write, text, options, sentence):
    with pytest.raises(UserError, match=sentence):
        read_config(write(text), options)


def test_persistent_workers_are_off_without_workers(write):
    """PyTorch raises an error for persistent_workers without workers."""
    config = write('train_dataloader = dict(num_workers=4, persistent_workers=True)')
    assert read_config(config, {}).train_dataloader.persistent_workers
    changed = read_config(config, {'train_dataloader.num_workers': 0}).train_dataloader
    assert changed == dict(num_workers=0, persistent_workers=False)


def test_option_without_a_value(write, capsys):
    with pytest.raises(SystemExit):
        prepare(write('model = None'), '--cfg-options', 'model')
    assert "--cfg-options got 'model'; write KEY=VALUE." in capsys.readouterr().err


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(UserError, match=r'The checkpoint .* is a folder; give a file in this'):
        check_file(str(tmp_path), 'checkpoint')


def test_compile_of_mmengine_is_refused(write, tmp_path):
    path = write('model = None\ncompile = True')
    with pytest.raises(UserError, match='set model.compile instead'):
        prepare(path, '--work-dir', tmp_path)
