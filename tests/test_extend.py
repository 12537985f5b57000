"""A restorer is contributed as docs/extend.md describes it, by its own blocks."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / 'docs' / 'extend.md'


def blocks():
    """The Python blocks of the page that start with the name of a file, by that name."""
    found = re.findall(r'(?s)```python\n# (\S+\.py)\n(.*?)```', PAGE.read_text())
    assert len(found) == len(dict(found))
    return dict(found)


def run(folder, *arguments):
    environment = dict(os.environ, PYTHONPATH=str(folder))
    result = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
def test_a_contributed_restorer_needs_three_files_and_one_line(tmp_path):
    for name in ('mmspd', 'configs', 'tests', 'tools'):
        ignored = shutil.ignore_patterns('__pycache__')
        shutil.copytree(REPOSITORY / name, tmp_path / name, symlinks=True, ignore=ignored)
    (tmp_path / 'docs').mkdir()
    shutil.copy(REPOSITORY / 'docs' / 'weights.md', tmp_path / 'docs')  # has a generated table
    for name in ('conftest.py', 'pyproject.toml', 'model-index.yml'):
        shutil.copy(REPOSITORY / name, tmp_path)
    for path in (tmp_path / 'configs/spd').rglob('*.py'):
        if path.name != 'unet_gopro.py':  # the base of the new one; less to measure
            path.unlink()
    files = blocks()
    network = files['my_net.py'] + files['mmspd/models/restorers/my_net.py']
    (tmp_path / 'mmspd/models/restorers/my_net.py').write_text(network)
    for name in (
        'tests/test_models/test_restorers/test_my_net.py',
        'configs/spd/mynet_gopro.py',
    ):
        (tmp_path / name).write_text(files[name])
    with (tmp_path / 'mmspd/models/restorers/__init__.py').open('a') as file:
        file.write('from mmspd.models.restorers.my_net import MyNet\n')

    run(tmp_path, 'tools/analysis/recipes.py')
    row = '| `mynet_gopro.py` | MyNet | MyNet with the recipe of the UNet | AdamW 0.0002, batch '
    assert row in (tmp_path / 'configs/spd/README.md').read_text()
    metafile = (tmp_path / 'configs/spd/metafile.yml').read_text()
    assert 'Config: configs/spd/mynet_gopro.py' in metafile
    tests = ('test_models/test_restorers/test_my_net.py', 'test_configs.py', 'test_weights')
    options = ('-n', '0', '-q', '-rp', '-p', 'no:cacheprovider', '-k', 'MyNet or mynet')
    passed = run(tmp_path, '-m', 'pytest', *options, *(f'tests/{test}' for test in tests))
    for test in (
        'TestMyNet::test_numerics_and_names_are_the_official_ones',
        'TestMyNet::test_compiles_to_one_graph[guided]',
        'test_a_config_trains_validates_and_tests[mynet_gopro]',
        'test_official_file_loads[mmspd.MyNet]',
    ):
        assert test in passed
