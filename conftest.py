"""Fixtures for all tests: a tiny data set, tiny configs, tools in other processes.

The examples of the manual and of the docstrings are collected as tests too.

GPUs are hidden from all runs except ``pytest -m cuda``, because MMEngine computes on a GPU wherever
it sees one, and the other tests compare numbers that are exact on a CPU.
"""

import functools
import json
import logging
import multiprocessing
import os
import signal
import socket
import textwrap
from pathlib import Path

import pytest

# set before torch is imported: the tensors of the tests are too small for several threads, and the
# tests of bit-equal runs, forked processes and two ranks need the CPU
os.environ.setdefault('OMP_NUM_THREADS', '1')
# shells let background jobs ignore Ctrl-C, which some tests send
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import cv2
import devices
import manual
import numpy as np
from mmengine.config import Config
from mmengine.logging import MMLogger

REPOSITORY = Path(__file__).resolve().parent
TRAIN_PAIRS, VAL_PAIRS = 6, 2

# one server forks all processes of the session, also the worker pools of the package
multiprocessing.set_forkserver_preload(
    ['support', 'mmengine.runner', 'torch.utils.tensorboard']
    + [
        f'{package}.{part}'
        for package in ('mmspd', 'mmagic')
        for part in ('datasets', 'engine', 'evaluation', 'models', 'visualization')
    ]
)


pytest_collect_file = manual.EXAMPLES.pytest()


def pytest_addoption(parser):
    """Add the option that chooses the device of the tests marked cuda."""
    parser.addoption(
        '--device',
        choices=['cuda', 'cpu'],
        help='device of the tests marked cuda, only with -m cuda (default: cuda)',
    )


def pytest_configure(config):
    """Choose the devices that the run sees, before MMEngine looks for them."""
    devices.choose(config)
    import support  # noqa: F401 - imports MMEngine, and changes it for tests


def pytest_collection_modifyitems(config, items):
    """Mark the blocks of the manual's pages as slow: they train and test."""
    lacking = devices.lacking(config)
    for item in items:
        if item.path.suffix == '.md':
            item.add_marker(pytest.mark.slow)
        if lacking and item.get_closest_marker('cuda'):
            item.add_marker(pytest.mark.skip(reason=lacking))


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    """The folder in which the blocks of a page run, one after the other."""
    with manual.Page(tmp_path_factory.mktemp('page')) as page:
        yield page


@pytest.fixture(autouse=True)
def loggers_end_with_their_test():
    """Close MMEngine's loggers of a test, which hold its log files and captured output."""
    loggers = MMLogger._instance_dict
    before = set(loggers)
    yield
    for name in loggers.keys() - before:
        for handler in loggers.pop(name).handlers:
            handler.close()


@pytest.fixture
def pretend_processor(monkeypatch, tmp_path):
    """Return a function that replaces the processor, and returns a list for the warnings."""
    from mmspd.utils import device
    from mmspd.utils.precision import warn_if_slow

    def pretend(flags, key='flags', name='Test 3000'):
        file = tmp_path / 'cpuinfo'
        file.write_text(f'model name\t: {name}\n{key}\t\t: fpu avx512f {flags}\n\n' * 2)
        monkeypatch.setattr(device, '_CPUINFO', file)
        warn_if_slow.cache_clear()
        warnings = []

        def log(text, logger=None, level=logging.INFO):
            if level == logging.WARNING and 'instructions' in text:
                warnings.append(text)

        monkeypatch.setattr('mmengine.logging.print_log', log)
        return warnings

    yield pretend
    warn_if_slow.cache_clear()


@pytest.fixture(scope='session')
def shared_data():
    """The folder of shared test data (MMSPD_SHARED); without it the test is skipped."""
    folder = Path(os.environ.get('MMSPD_SHARED') or REPOSITORY.parent / 'shared')
    if not folder.is_dir():
        pytest.skip(f'no shared data: MMSPD_SHARED is not set and {folder} does not exist')
    return folder


@pytest.fixture(scope='session')
def pairs_root(tmp_path_factory):
    """A folder with train and val pairs of 32x32 pixels, in ``input`` and ``target``."""
    root = tmp_path_factory.mktemp('pairs')
    rng = np.random.default_rng(0)
    for split, count in (('train', TRAIN_PAIRS), ('val', VAL_PAIRS)):
        for number in range(count):
            sharp = cv2.resize(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), (32, 32))
            for name, image in (('input', cv2.blur(sharp, (5, 1))), ('target', sharp)):
                folder = root / split / name
                folder.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / f'{number:02d}.png'), image)
    return root


@functools.cache
def config_text(base, pairs):
    """Return a config of ``tests/configs`` as plain assignments on the default runtime."""
    runtime = REPOSITORY / 'configs' / '_base_' / 'default_runtime.py'
    config = Config.fromfile(REPOSITORY / 'tests' / 'configs' / f'{base}.py').to_dict()
    inherited = Config.fromfile(runtime).to_dict()
    for loader, split in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        config[f'{loader}_dataloader']['dataset']['data_root'] = str(pairs / split)
    own = {key: value for key, value in config.items() if inherited.get(key) != value}
    return f'_base_ = {str(runtime)!r}\n' + ''.join(f'{k} = {v!r}\n' for k, v in own.items())


@pytest.fixture
def write_config(tmp_path, pairs_root):
    """Return a function that writes a config of ``tests/configs`` plus Python text."""

    def write(extra='', name='tiny.py', base='tiny'):
        path = tmp_path / name
        path.write_text(config_text(base, pairs_root) + textwrap.dedent(extra))
        return str(path)

    return write


@pytest.fixture
def make_runner(write_config, tmp_path):
    """Return a function that builds the runner of a config plus Python text."""
    from mmengine.runner import Runner

    def make(extra='', work='work', base='tiny', **changes):
        config = Config.fromfile(write_config(extra, base=base))
        config.work_dir = str(tmp_path / work)
        config.experiment_name = (
            f'{tmp_path.name}_{work}'  # experiment names must be unique in a process
        )
        config.merge_from_dict(changes)
        return Runner.from_cfg(config)

    return make


@pytest.fixture
def tested(write_config, tmp_path):
    """The paths of a tiny config and of an untrained checkpoint."""
    import torch

    from mmspd.apis import init_model

    config = write_config("protocol = 'tiny'\n")
    torch.manual_seed(0)
    torch.save(dict(state_dict=init_model(config).state_dict()), tmp_path / 'random.pth')
    return config, tmp_path / 'random.pth'


@pytest.fixture
def call_tool(capsys, monkeypatch):
    """Return a function that runs a tool in this process and returns code, output, errors."""
    import support

    from mmspd.utils.cli import run_main

    monkeypatch.setenv('LOCAL_RANK', '0')  # so that the value of the tool is removed after the test

    def call(tool, *arguments):
        with pytest.raises(SystemExit) as stop:
            run_main(support.load_tool(tool).main, list(map(str, arguments)))
        return (stop.value.code, *capsys.readouterr())

    return call


@pytest.fixture(scope='session')
def processes():
    """A context for new processes with the packages already imported."""
    return multiprocessing.get_context('forkserver')


@pytest.fixture
def start_tool(processes, tmp_path):
    """Return a function that starts a tool in a new process with its output in ``.log``."""
    import support

    started = []

    def start(tool, *arguments, **environment):
        log = tmp_path / f'output_{len(started)}.log'
        process = processes.Process(
            target=support.run_tool,
            args=(str(REPOSITORY / 'tools' / tool), list(map(str, arguments)), str(log)),
            kwargs=environment,
        )
        process.log = log
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        if process.is_alive():
            process.kill()
        process.join()


@pytest.fixture
def run_tool(start_tool):
    """Return a function that runs a tool to its end and returns the exit code and output."""

    def run(tool, *arguments, **environment):
        process = start_tool(tool, *arguments, **environment)
        process.join(120)
        return process.exitcode, process.log.read_text()

    return run


@pytest.fixture
def run_ranks(start_tool):
    """Return a function that runs a tool in the processes of one distributed run, by default 2."""

    def run(tool, *arguments, count=2):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = str(free.getsockname()[1])
        ranks = [
            start_tool(
                tool,
                *arguments,
                '--launcher',
                'pytorch',
                RANK=str(rank),
                LOCAL_RANK=str(rank),
                WORLD_SIZE=str(count),
                MASTER_ADDR='127.0.0.1',
                MASTER_PORT=port,
            )
            for rank in range(count)
        ]
        for process in ranks:
            process.join(120)
        return [process.exitcode for process in ranks], ranks[0].log.read_text()

    return run


@pytest.fixture
def restore_large(processes, tmp_path):
    """Return a function that runs ``restore_large.py`` in a new process, and returns its report."""
    import support

    def run(*arguments):
        script, log = REPOSITORY / 'tests' / 'restore_large.py', tmp_path / 'restore_large.log'
        process = processes.Process(
            target=support.run_tool, args=(str(script), arguments, str(log))
        )
        process.start()
        process.join(120)
        output = log.read_text()
        assert process.exitcode == 0, output
        return json.loads(output.partition('result ')[2])

    return run
