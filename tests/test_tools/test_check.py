import json

import pytest
from blurred_pairs import blurred, texture, truncate, write
from support import load_tool

from mmspd.errors import UserError

main = load_tool('dataset_converters/check.py').main


def state_of(root):
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in root.rglob('*')}


def test_command_line(tmp_path, capsys):
    root = tmp_path / 'data'
    for number in range(2, 5):
        write(root / 'train' / 'sharp' / f'{number:03d}.png', texture(number))
        write(root / 'train' / 'blur' / f'{number:03d}.png', blurred(texture(number)))
    truncate(root)
    before = state_of(root)
    arguments = [str(root), '--workers', '0', '--crop', '128']
    report = tmp_path / 'report.json'
    assert main([*arguments, '--json', str(report)]) == 3
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"'{root}', layout pairs: ")
    assert out[-1] == 'Verdict: 1 fault and 0 warnings; fix the faults before you use this data.'
    saved = json.loads(report.read_text())
    assert saved['exit_code'] == 3
    assert saved['findings'][0]['check'] == 'unreadable'
    assert saved['findings'][0]['names'][0].startswith('train/blur/003.png: ')
    with pytest.raises(UserError, match='is in the folder of the data set'):
        main([*arguments, '--json', str(root / 'report.json')])
    assert main([*arguments, '--quick']) == 0
    assert state_of(root) == before
    with pytest.raises(UserError, match='has an unknown layout'):
        main([str(tmp_path / 'data' / 'train' / 'blur')])
