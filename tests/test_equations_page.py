"""docs/equations.md names tests and config keys that exist."""

import re
from functools import reduce
from pathlib import Path

import pytest
from mmengine.config import Config

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / 'docs' / 'equations.md').read_text()


def test_every_test_of_the_page_exists():
    suite = ''.join(path.read_text() for path in (REPOSITORY / 'tests').rglob('test_*.py'))
    named = re.findall(r'`(test_\w+)`', PAGE)
    assert len(named) == 9
    assert not [name for name in named if f'def {name}(' not in suite]


@pytest.mark.parametrize('key', sorted(set(re.findall(r'`(model\.[\w.]+)`', PAGE))))
def test_every_key_of_the_page_exists(key):
    config = Config.fromfile(REPOSITORY / 'configs' / 'spd' / 'unet_sp_gopro.py')
    assert reduce(lambda part, name: part[name], key.split('.'), config) is not None
