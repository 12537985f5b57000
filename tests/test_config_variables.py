"""Variables in configs keep their values, or the message names the variable."""

import os
import re
from pathlib import Path

import pytest
from mmengine.config import Config

from mmspd.errors import UsageError
from mmspd.utils.launch import read_config

ROOT = Path(__file__).resolve().parents[1]
#: The shipped configs and their variables.
SHIPPED = sorted(
    (path, variable)
    for folder in ('configs', 'projects')
    for path in (ROOT / folder).rglob('*.py')
    for variable in set(re.findall(r'\{\{\$(\w+):', path.read_text()))
)
VALUES = [
    'data/GoPro',
    "it's/data",
    'a "quoted" name',
    'back\\slash',
    'new\nline',
    '{{fileBasename}}',
    '{{ _base_.x }}',
    '{single}',
    'Zürich/写真/📷',
    "'); raise SystemExit(3) #",
    '#$%&()*=;~`<>?|^!',
    ' spaces ',
    'x' * 3000,
    'not utf-8: \udcff',
]


@pytest.fixture
def write(tmp_path):
    def write(text, name='some.py'):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize('value', VALUES, ids=range(len(VALUES)))
def test_a_variable_keeps_its_value(write, monkeypatch, value):
    monkeypatch.setenv('MY_ROOT', value)
    write("root = '{{$MY_ROOT:data}}'", 'base.py')
    path = write(
        "_base_ = 'base.py'\na = \"{{ $MY_ROOT : data }}/b\"\nb = f'{{$MY_ROOT:data}}/{1 + 1}'\n"
        "c = '''{{$MY_ROOT:data}}'''\nd = _base_.root\n"
    )
    config = Config.fromfile(path)
    assert config.root == config.d == config.c == value
    assert (config.a, config.b) == (f'{value}/b', f'{value}/2')
    assert config.env_variables == {'MY_ROOT': value}
    # a saved config is read with its own variables, and cannot contain bytes that are not UTF-8
    if '{{' not in value and '\udcff' not in value:
        config.dump(path.replace('some', 'saved'))
        assert Config.fromfile(path.replace('some', 'saved')).a == f'{value}/b'


def test_a_default_is_used_without_the_variable(write, monkeypatch):
    monkeypatch.delenv('MY_ROOT', raising=False)
    assert Config.fromfile(write("root = '{{$MY_ROOT:data/GoPro}}'")).root == 'data/GoPro'


def uses(value, wanted):
    """Return whether a config has a value at any depth."""
    if isinstance(value, dict):
        return any(uses(each, wanted) for each in value.values())
    if isinstance(value, (list, tuple)):
        return any(uses(each, wanted) for each in value)
    return isinstance(value, str) and wanted in value


@pytest.mark.parametrize(
    ('path', 'variable'), SHIPPED, ids=lambda value: getattr(value, 'stem', None)
)
def test_the_variables_of_the_shipped_configs(monkeypatch, path, variable):
    value = "/it's/a\\b\n{{c}}/Zürich"
    monkeypatch.setenv(variable, value)
    assert uses(Config.fromfile(path).to_dict(), value)
    monkeypatch.setenv(variable, '')
    sentence = f'^The environment variable {variable} is empty; set it to a value, or unset it to'
    with pytest.raises(UsageError, match=sentence):
        read_config(str(path), {})


@pytest.mark.parametrize(('value', 'number'), [('8', 8), ('-1e-3', -1e-3), ('[1, 2]', [1, 2])])
def test_a_variable_outside_of_a_string_is_a_number(write, monkeypatch, value, number):
    monkeypatch.setenv('MY_NUMBER', value)
    assert Config.fromfile(write("number = {{'$MY_NUMBER:80'}}")).number == number


@pytest.mark.parametrize(
    ('value', 'text', 'name', 'sentence'),
    [
        ('', "'{{$MY_ROOT:data}}'", 'a.py', 'MY_ROOT is empty; set it to a value, or unset'),
        ('', "'{{$MY_ROOT:}}'", 'a.py', 'MY_ROOT is empty; set it to a value.'),
        (None, "'{{$MY_ROOT:}}'", 'a.py', 'MY_ROOT is not set; set it to a value.'),
        ('exit(3)', "{{'$MY_ROOT:80'}}", 'a.py', r"MY_ROOT is 'exit\(3\)', but the config needs a"),
        ('"a"', "{{'$MY_ROOT:80'}}", 'a.py', 'but the config needs a number'),
        ("it's", "r'{{$MY_ROOT:data}}'", 'a.py', 'MY_ROOT, "it\'s", cannot be written'),
        ("it's", "'{{$MY_ROOT:data}}'", 'a.yml', 'MY_ROOT, "it\'s", cannot be written'),
    ],
)
def test_a_value_that_does_not_fit_is_named(write, monkeypatch, value, text, name, sentence):
    monkeypatch.delenv('MY_ROOT', raising=False)
    if value is not None:
        monkeypatch.setenv('MY_ROOT', value)
    path = write(f'root{":" if name.endswith("yml") else " ="} {text}', name)
    with pytest.raises(UsageError, match=f'^The .*{sentence}') as error:
        read_config(path, {})
    assert 'not a valid config' not in str(error.value)


def test_a_call_outside_of_a_string_does_not_run(write, monkeypatch):
    monkeypatch.setenv('MY_ROOT', 'exit(3)')
    with pytest.raises(UsageError, match='not a valid config'):
        read_config(write('number = {{$MY_ROOT:80}}'), {})


@pytest.mark.parametrize('stem', ["it's", 'back\\slash', 'two words', '{x}', 'ä'])
def test_the_name_of_a_config_keeps_its_value(write, tmp_path, stem):
    text = "a, b = '{{fileBasenameNoExtension}}', '{{ fileBasename }}'\nc = '{{fileDirname}}'"
    config = Config.fromfile(write(text, f'{stem}.py'))
    expected = stem.replace(os.sep, '/')
    assert (config.a, config.b, config.c) == (expected, f'{expected}.py', str(tmp_path))
