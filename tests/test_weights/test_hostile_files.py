"""No file corrupts memory, runs code, fills the memory or hangs, whichever loader reads it."""

import io
import json
import multiprocessing
import re
import signal
from contextlib import redirect_stderr, redirect_stdout

import hostile
import pytest
import support
from mmengine.config import Config
from published import MIMO, network
from torch import nn

from mmspd.utils.cli import run_main
from mmspd.weights.loading import load_backbone_weights, load_renamed, read_state
from mmspd.weights.official import load_official

MEMORY_LIMIT = 5e8
CONVERTERS = {
    'official2mmspd': ['mimounet', 'IN', 'OUT'],
    'asl_tresnet2timm': ['IN', 'OUT'],
    'lpips_jax2torchvision': ['alex', 'OUT', '--weights', 'IN'],
}


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return hostile.write_all(tmp_path_factory.mktemp('hostile'))


def converter(name):
    main = support.load_tool(f'model_converters/{name}.py').main
    arguments = CONVERTERS[name]
    return lambda path: main([{'IN': path, 'OUT': path + '.out'}.get(a, a) for a in arguments])


def run_of(make_runner, resume):
    runner = make_runner()
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)

    def load(path):
        runner._load_from, runner._resume, runner._has_loaded = path, resume, False
        runner.load_or_resume()

    return load


def loader_of(name, make_runner, write_config):
    """Return a function that gives a file to the loader."""
    if name in CONVERTERS:
        return converter(name)
    if name in ('load_from', 'resume'):
        return run_of(make_runner, name == 'resume')
    if name == 'init_model':  # deblur, export, show_prior and the web page
        from mmspd.apis import init_model

        config = Config.fromfile(write_config())
        return lambda path: init_model(config, path)
    restorer, layer = network(MIMO), nn.Conv2d(1, 1, 1)
    return {
        'read_state': lambda path: read_state(path, 'IN'),
        'load_official': lambda path: load_official(restorer, path),
        'teacher': lambda path: load_backbone_weights(layer, path, dict(type='Teacher')),
        'vgg and lpips': lambda path: load_renamed(layer, {'weight': 'a'}, path, 'a/b', 'VGG'),
    }[name]


@pytest.mark.slow
@pytest.mark.parametrize(
    'loader',
    ['read_state', 'load_official', 'teacher', 'vgg and lpips']
    + [
        pytest.param(name, marks=pytest.mark.slow)
        for name in ('load_from', 'resume', 'init_model', *CONVERTERS)
    ],
)
def test_every_file_is_refused_in_one_sentence(
    loader, files, make_runner, write_config, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    load = loader_of(loader, make_runner, write_config)
    if loader == 'read_state':  # other loaders compare these weights with a network
        files = [file for file in files if not file.stem.startswith(('restorer', 'tresnet'))]
    log = tmp_path / 'outcomes.txt'
    # a faulty loader would end the process
    process = multiprocessing.get_context('fork').Process(
        target=hostile.sweep, args=(load, files, log)
    )
    process.start()
    process.join()
    lines = [line.split('\t') for line in log.read_text().splitlines()]
    assert process.exitcode == 0, lines[-1]
    *outcomes, (_, grown) = lines
    assert not [line for line in outcomes if line[1] != 'refused']
    assert len(outcomes) == len(files)
    for name, _, message in outcomes:
        assert message[0].isupper() or message[0] == "'" or name in message
        assert message.endswith('.')
        assert len(message) < 1000
        assert message.isprintable()
        assert '|' not in message
    assert int(grown) < MEMORY_LIMIT
    assert not list(tmp_path.glob('HOSTILE'))


#: A dict from names to the command lines that read a weights file.
COMMANDS = {
    'test': 'test.py CONFIG FILE --work-dir OUT',
    'train': 'train.py CONFIG --work-dir OUT --cfg-options load_from=FILE',
    'resume a file': 'train.py CONFIG --work-dir OUT --resume FILE',
    'resume': 'train.py CONFIG --work-dir RUN --resume',
    'teacher': 'train.py DISTILLED --work-dir OUT --cfg-options model.teacher.weights=FILE',
    'deblur': 'deblur.py CONFIG FILE PHOTO --out-dir OUT --device cpu',
    'web page': 'webui.py CONFIG FILE --port 0 --device cpu',
    'export': 'deployment/export.py CONFIG FILE OUT.onnx',
    'show_prior': 'analysis/show_prior.py DISTILLED FILE PHOTO --out OUT --device cpu',
    'converter': 'model_converters/official2mmspd.py mimounet FILE OUT.pth',
}


def run_commands(commands, log):
    """Run command lines; write their exit codes and errors to a file."""
    signal.alarm(hostile.TIME_LIMIT)
    for name, (tool, *arguments) in commands.items():
        errors = io.StringIO()
        with redirect_stderr(errors), redirect_stdout(io.StringIO()):
            try:
                run_main(support.load_tool(tool).main, arguments)
            except SystemExit as stop:
                code = stop.code
        with log.open('a') as file:
            file.write(json.dumps([name, code, errors.getvalue()]) + '\n')


@pytest.mark.slow
def test_every_command_refuses_a_file_that_forges_memory(
    files, write_config, tmp_path, pairs_root, monkeypatch
):
    monkeypatch.setenv('LOCAL_RANK', '0')
    file, run = str(files[0]), tmp_path / 'run'
    run.mkdir()
    (run / 'epoch_1.pth').write_bytes(files[0].read_bytes())
    words = dict(CONFIG=write_config(), FILE=file, RUN=str(run))
    words.update(DISTILLED=write_config('', 'distilled.py', 'distilled'))
    words.update(PHOTO=str(pairs_root / 'val' / 'input' / '00.png'), OUT=str(tmp_path / 'out'))
    pattern = re.compile('|'.join(words))
    commands = {
        name: pattern.sub(lambda match: words[match[0]], line).split()
        for name, line in COMMANDS.items()
    }
    log = tmp_path / 'outcomes.txt'
    process = multiprocessing.get_context('fork').Process(target=run_commands, args=(commands, log))
    process.start()
    process.join()
    outcomes = [json.loads(line) for line in log.read_text().splitlines()]
    assert process.exitcode == 0
    assert [name for name, *_ in outcomes] == [*COMMANDS]
    for name, code, error in outcomes:
        # the weights of the teacher are a value in the config
        assert code == (2 if name == 'teacher' else 1), name
        assert error.splitlines()[-1].startswith('error: '), name
        assert 'Traceback' not in error
        assert 'numpy.ndarray' in error or 'can be re' in error, name
