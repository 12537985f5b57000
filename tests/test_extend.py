"""The files of docs/extend.md work where the page says that they go."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / 'docs' / 'extend.md'

#: Builds what the configs and the protocol of the page name, and prints the classes.
BUILD_ALL = """
from pathlib import Path

import numpy as np
from mmengine.registry import init_default_scope
from PIL import Image
from support import load_tool

from mmspd.registry import DATASETS, METRICS, build_model
from mmspd.utils.launch import read_config


def read(name):
    config = read_config(f'{name}_config.py', {})
    init_default_scope(config.default_scope)
    return config


built = [build_model(read('my_net').model).generator.restorer]
built += build_model(read('gate_fusion').model).generator.embedding.fusions.values()

model = read('vgg_stages').model
model.teacher.weights = 'random'
model = build_model(model)
model.init_weights()  # compares the strides of the teacher with those of the prior
built.append(model._teacher.get('cpu').backbone)

config = read('suffix_pairs')
for split in ('train', 'test'):
    (Path('my/suffix') / split).mkdir(parents=True)
    for name in ('a_blur', 'a_sharp'):
        photo = Image.fromarray(np.zeros((300, 300, 3), np.uint8))
        photo.save(f'my/suffix/{split}/{name}.png')
for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
    built.append(DATASETS.build(loader.dataset))

load_tool('test.py').use_protocols(config, ['mae_protocol.py'])
built += map(METRICS.build, config.test_evaluator.metrics)
print(*(type(part).__name__ for part in built))
"""


def blocks():
    """The Python blocks of the page that start with the name of a file, by that name."""
    found = re.findall(r'(?s)```python\n# (\S+\.py)\n(.*?)```', PAGE.read_text())
    assert len(found) == len(dict(found))
    return dict(found)


def run(folder, *arguments, path=''):
    environment = dict(os.environ, PYTHONPATH=f'{folder}:{path}')
    result = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def copy_repository(folder, *names):
    for name in names:
        ignored = shutil.ignore_patterns('__pycache__')
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)


@pytest.mark.slow
def test_files_outside_of_the_package(tmp_path):
    copy_repository(tmp_path, 'configs')
    for name, code in blocks().items():
        if '/' not in name:
            (tmp_path / name).write_text(code)
    path = f'{REPOSITORY}:{REPOSITORY / "tests"}'
    printed = run(tmp_path, '-c', BUILD_ALL, path=path)
    classes = ['MyNet'] + 3 * ['GateFusion'] + ['VGGStages'] + 3 * ['SuffixPairs'] + ['MAE']
    assert printed.splitlines()[-1].split() == classes


@pytest.mark.slow
def test_a_contributed_restorer_needs_three_files_and_one_line(tmp_path):
    copy_repository(tmp_path, 'mmspd', 'configs', 'tests', 'tools')
    for name in ('pyproject.toml', 'model-index.yml'):
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
        'test_trains_validates_and_tests[mynet_gopro]',
        'test_official_file_loads[mmspd.MyNet]',
    ):
        assert test in passed
