"""The command ``mmspd``."""

import subprocess
import sys

import pytest

from mmspd.__main__ import COMMANDS, find_command, run
from mmspd.errors import UsageError
from mmspd.utils.package_files import package_file
from mmspd.version import __version__

#: Packages that take long to import.
HEAVY = {'torch', 'numpy', 'cv2', 'mmengine', 'mmagic'}


def test_every_command_has_its_tool_and_every_tool_its_command(capsys):
    files = {file for file, _ in COMMANDS.values()}
    assert all(package_file('tools', file).is_file() for file in files)
    assert run(['--help']) is None
    help_text = capsys.readouterr().out
    assert all(f'  {name} ' in help_text for name in COMMANDS)
    parts = {'common.py', 'measure.py', 'report.py', 'training_step.py'}  # of the benchmarks
    checkout_only = {
        *('recipes.py', 'quickstart_data.py', 'quickstart_report.py', 'performance_page.py'),
    }
    tools = {path.name for path in package_file('tools').rglob('*.py')} - parts - checkout_only
    assert tools == {file.rpartition('/')[2] for file in files}


def test_help_and_version_import_nothing_heavy():
    code = (
        'import sys\n'
        'from mmspd.__main__ import run\n'
        "run(['--version'])\n"
        "run(['--help'])\n"
        f'print({HEAVY} & set(sys.modules))'
    )
    text = subprocess.check_output([sys.executable, '-c', code], text=True)
    assert text.startswith(f'mmspd {__version__}\nusage: mmspd COMMAND')
    assert text.endswith('set()\n')


@pytest.mark.parametrize('command', ['train', 'test', 'deblur', 'web', 'export', 'weights'])
def test_help_of_a_command_does_not_import_torch(command):
    code = (
        'import sys\n'
        'from mmspd.__main__ import run\n'
        'try:\n'
        f"    run([{command!r}, '--help'])\n"
        'except SystemExit as stop:\n'
        "    print(stop.code, 'torch' in sys.modules)"
    )
    text = subprocess.check_output([sys.executable, '-c', code], text=True)
    assert text.startswith(f'usage: mmspd {command}')
    assert text.endswith('0 False\n')


def test_a_command_has_one_or_two_words():
    assert find_command(['train', 'a.py', '--amp']) == ('train', ['a.py', '--amp'])
    assert find_command(['benchmark', 'data', '--help']) == ('benchmark data', ['--help'])


@pytest.mark.parametrize(
    ('argv', 'sentence'),
    [
        (['tran'], "There is no command 'tran'; use mmspd train."),
        (['x'], "There is no command 'x'; run mmspd --help for the list."),
        (['convert', 'all'], 'The command mmspd convert has parts; use mmspd convert official or '),
    ],
)
def test_unknown_commands(argv, sentence):
    with pytest.raises(UsageError, match=sentence):
        find_command(argv)


def test_no_arguments_print_the_help_and_fail(capsys):
    assert run([]) == 2
    assert capsys.readouterr().out.startswith('usage: mmspd')


def test_a_command_runs_its_tool(capsys, monkeypatch):
    config = package_file('configs', 'spd', 'unet_gopro.py')
    monkeypatch.setattr(sys, 'argv', [])
    monkeypatch.setitem(sys.modules, '__main__', sys.modules['__main__'])
    monkeypatch.setattr(sys, 'path', [*sys.path])
    with pytest.raises(SystemExit) as stop:
        run(['config', str(config)])
    assert stop.value.code == 0
    assert "type='mmspd.UNet'" in capsys.readouterr().out
