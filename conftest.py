"""Run the examples of the manual's pages and of the docstrings as tests."""

import doctest
import multiprocessing
import os

# Before torch is imported: the tests' tensors are too small for several threads, and their exact
# results are those of the CPU.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ['CUDA_VISIBLE_DEVICES'] = ''

import pytest
from manual import ConsoleBlockParser, Page, PythonBlockParser, ShellBlockParser
from sybil import Sybil
from sybil.parsers.markdown import SkipParser
from sybil.parsers.rest import DocTestParser

# One server forks every process of the session, also those of the package's own pools.
multiprocessing.set_forkserver_preload(
    [
        'support',
        'mmspd.engine',
        'mmspd.datasets',
        'mmspd.evaluation',
        'mmspd.models',
        'mmspd.visualization',
    ]
    + ['torch.utils.tensorboard', 'mmengine.runner']
)


_OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

_pages = Sybil(
    parsers=[
        ConsoleBlockParser(_OPTIONS),
        PythonBlockParser(),
        ShellBlockParser(),
        SkipParser(),
    ],
    patterns=['README.md', 'CONTRIBUTING.md', 'docs/*.md', 'configs/*.md', 'projects/*.md'],
    excludes=['docs/results/*'],
    fixtures=['page'],
)
_docstrings = Sybil(
    parsers=[DocTestParser(_OPTIONS)], patterns=[f'mmspd/{"*/" * depth}*.py' for depth in range(4)]
)
pytest_collect_file = (_pages + _docstrings).pytest()


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    """The folder in which the blocks of a page run, one after the other."""
    with Page(tmp_path_factory.mktemp('page')) as page:
        yield page


def pytest_collection_modifyitems(items):
    """Mark the blocks of pages, which train and test, as slow."""
    for item in items:
        if item.path.suffix == '.md':
            item.add_marker(pytest.mark.slow)
