"""A restorer is added by a file, a test, a config and one line of an ``__init__``, nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

NETWORK = """
from torch import nn

from mmspd.models.restorers.base import Restorer
from mmspd.models.restorers.blocks import ResBlocks
from mmspd.registry import MODELS
from mmspd.weights.published import Family, Published, register_family


@MODELS.register_module()
class NewNet(Restorer):
    multiple = 1
    seams = ('dec1',)

    def __init__(self, base=16, outputs='all', with_cp=False):
        super().__init__(outputs, with_cp)
        self.intro = nn.Conv2d(3, base, 3, padding=1)
        self.body = ResBlocks(base, 1)
        self.ending = nn.Conv2d(base, 3, 3, padding=1)

    def forward_padded(self, img, fuse):
        x = self.checkpointed(self.body, fuse('dec1', self.intro(img)))
        return [self.ending(x) + img]


register_family(
    Family(
        'mmspd.NewNet',
        'NewNet',
        marks=('intro.weight', 'body.layers.0.main.0.main.0.weight'),
        sizes=lambda state: dict(base=state['intro.weight'].shape[0]),
        published=(Published('newnet', 'NewNet', dict(base=16)),),
    )
)
"""

TEST = """
from restorer_contract import OwnRestorerContract


class TestNewNet(OwnRestorerContract):
    restorer = dict(type='mmspd.NewNet', base=4)
    official_sizes = [({}, 5523, 0.3586, 8)]

    def reference(self, weights, img, cfg):
        x = weights.conv(img, 'intro')
        y = weights.conv(x, 'body.layers.0.main.0.main.0').relu()
        x = x + weights.conv(y, 'body.layers.0.main.1.main.0')
        return [weights.conv(x, 'ending') + img]
"""

CONFIG = """# NewNet with the recipe of the UNet.
_base_ = './unet_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(type='mmspd.NewNet'))
"""


@pytest.mark.slow
def test_three_files_and_one_line_are_enough(tmp_path):
    for name in ('mmspd', 'configs', 'tests', 'tools'):
        ignored = shutil.ignore_patterns('__pycache__')
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=ignored)
    for name in ('pyproject.toml', 'model-index.yml'):
        shutil.copy(REPOSITORY / name, tmp_path)
    for path in (tmp_path / 'configs/spd').rglob('*.py'):
        if path.name != 'unet_gopro.py':  # the base of the new one; less to measure
            path.unlink()
    (tmp_path / 'mmspd/models/restorers/new_net.py').write_text(NETWORK)
    (tmp_path / 'tests/test_models/test_restorers/test_new_net.py').write_text(TEST)
    (tmp_path / 'configs/spd/newnet_gopro.py').write_text(CONFIG)
    with (tmp_path / 'mmspd/models/restorers/__init__.py').open('a') as file:
        file.write('from mmspd.models.restorers.new_net import NewNet\n')

    def run(*arguments):
        environment = dict(os.environ, PYTHONPATH=str(tmp_path))
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    run('tools/analysis/recipes.py')
    row = '| `newnet_gopro.py` | NewNet | NewNet with the recipe of the UNet | AdamW 0.0002, batch '
    assert row in (tmp_path / 'configs/spd/README.md').read_text()
    metafile = (tmp_path / 'configs/spd/metafile.yml').read_text()
    assert 'Config: configs/spd/newnet_gopro.py' in metafile
    tests = ('test_models/test_restorers/test_new_net.py', 'test_configs.py', 'test_weights')
    options = ('-n', '0', '-q', '-rp', '-p', 'no:cacheprovider', '-k', 'NewNet or newnet')
    passed = run('-m', 'pytest', *options, *(f'tests/{test}' for test in tests))
    for test in (
        'TestNewNet::test_numerics_and_names_are_the_official_ones',
        'TestNewNet::test_compiles_to_one_graph[guided]',
        'test_trains_validates_and_tests[newnet_gopro]',
        'test_official_file_loads[mmspd.NewNet]',
    ):
        assert test in passed
